package config

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
)

// ErrMayNotRegister says that the caller may not register search attributes: on Temporal Cloud, an admin does it once.
var ErrMayNotRegister = errors.New("search attributes are missing and may not be registered from here")

// RegisterSearchAttributes makes search attributes known to a namespace. Those that it knows already are left as they
// are; a workflow that sets one which is not registered would be stuck.
func RegisterSearchAttributes(ctx context.Context, c client.Client, namespace string, wanted map[string]enumspb.IndexedValueType) error {
	missing := maps.Clone(wanted)
	known, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err == nil {
		for name := range known.GetCustomAttributes() {
			delete(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	_, err = c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{Namespace: namespace, SearchAttributes: missing})
	var exists *serviceerror.AlreadyExists
	var denied *serviceerror.PermissionDenied
	switch {
	case err == nil, errors.As(err, &exists):
		return nil
	case errors.As(err, &denied):
		return fmt.Errorf("%w (%s): register them once by hand, as keywords but CastellanUntil, a datetime: %v", ErrMayNotRegister, denied.Message, slices.Sorted(maps.Keys(missing)))
	}
	return fmt.Errorf("register the search attributes %v in namespace %s: %w", slices.Sorted(maps.Keys(missing)), namespace, err)
}
