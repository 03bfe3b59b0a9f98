package config_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/mocks"
	"google.golang.org/grpc"

	"github.com/castellan-io/castellan/config"
)

var (
	errUnknown = serviceerror.NewInvalidArgument("invalid query: no such search attribute")
	errUnset   = serviceerror.NewInvalidArgument("BadSearchAttributes: no such search attribute")
	wanted     = map[string]enumspb.IndexedValueType{
		"CastellanOrg": enumspb.INDEXED_VALUE_TYPE_KEYWORD, "CastellanUntil": enumspb.INDEXED_VALUE_TYPE_DATETIME,
	}
)

// namespace is one of a Temporal server that refuses search attributes in the first attempts, and takes them later in
// queries, and later still from workflows.
type namespace struct {
	operatorservice.OperatorServiceClient
	refuses, forgets, fails int
	why                     error
	known                   map[string]enumspb.IndexedValueType
	added                   []int
	histories               *historyService
}

func (n *namespace) ListSearchAttributes(context.Context, *operatorservice.ListSearchAttributesRequest,
	...grpc.CallOption) (*operatorservice.ListSearchAttributesResponse, error) {
	return &operatorservice.ListSearchAttributesResponse{CustomAttributes: n.known}, nil
}

func (n *namespace) AddSearchAttributes(_ context.Context, r *operatorservice.AddSearchAttributesRequest,
	_ ...grpc.CallOption) (*operatorservice.AddSearchAttributesResponse, error) {
	if n.refuses > 0 {
		n.refuses--
		return nil, n.why
	}
	n.added = append(n.added, len(r.SearchAttributes))
	for name, kind := range r.SearchAttributes {
		n.known[name] = kind
	}
	return &operatorservice.AddSearchAttributesResponse{}, nil
}

// historyService is the service that keeps the histories of a namespace's workflows.
type historyService struct {
	workflowservice.WorkflowServiceClient
	of      *namespace
	deleted []string
}

func (h *historyService) StartWorkflowExecution(context.Context, *workflowservice.StartWorkflowExecutionRequest,
	...grpc.CallOption) (*workflowservice.StartWorkflowExecutionResponse, error) {
	return &workflowservice.StartWorkflowExecutionResponse{RunId: "run"}, nil
}

func (h *historyService) PollWorkflowTaskQueue(_ context.Context, r *workflowservice.PollWorkflowTaskQueueRequest,
	_ ...grpc.CallOption) (*workflowservice.PollWorkflowTaskQueueResponse, error) {
	return &workflowservice.PollWorkflowTaskQueueResponse{TaskToken: []byte(r.GetTaskQueue().GetName())}, nil
}

func (h *historyService) RespondWorkflowTaskCompleted(_ context.Context,
	r *workflowservice.RespondWorkflowTaskCompletedRequest,
	_ ...grpc.CallOption) (*workflowservice.RespondWorkflowTaskCompletedResponse, error) {
	upsert := r.Commands[0].GetUpsertWorkflowSearchAttributesCommandAttributes()
	for name := range upsert.GetSearchAttributes().IndexedFields {
		if _, known := h.of.known[name]; !known {
			return nil, errUnset
		}
	}
	if h.of.fails--; h.of.fails >= 0 {
		return nil, errUnset
	}
	return &workflowservice.RespondWorkflowTaskCompletedResponse{}, nil
}

func (h *historyService) DeleteWorkflowExecution(_ context.Context, r *workflowservice.DeleteWorkflowExecutionRequest,
	_ ...grpc.CallOption) (*workflowservice.DeleteWorkflowExecutionResponse, error) {
	h.deleted = append(h.deleted, r.GetWorkflowExecution().GetWorkflowId())
	return nil, serviceerror.NewPermissionDenied("nobody deletes", "")
}

func (n *namespace) client() *mocks.Client {
	c := &mocks.Client{}
	n.histories = &historyService{of: n}
	c.On("WorkflowService").Return(n.histories)
	c.On("OperatorService").Return(n)
	c.On("CountWorkflow", mock.Anything,
		mock.Anything).Return(func(context.Context,
		*workflowservice.CountWorkflowExecutionsRequest) (*workflowservice.CountWorkflowExecutionsResponse, error) {
		if len(n.known) < len(wanted) {
			return nil, errUnknown
		}
		if n.forgets--; n.forgets >= 0 {
			return nil, errUnknown
		}
		return &workflowservice.CountWorkflowExecutionsResponse{}, nil
	})
	return c
}

func TestSearchAttributesAreRegisteredBeforeAnythingElseIsDone(t *testing.T) {
	t.Parallel()
	n := &namespace{
		refuses: 2, forgets: 1, fails: 2, why: serviceerror.NewNamespaceNotFound("fresh"),
		known: map[string]enumspb.IndexedValueType{"CastellanOrg": enumspb.INDEXED_VALUE_TYPE_KEYWORD},
	}
	var told []error
	err := config.AwaitSearchAttributes(t.Context(), n.client(), "fresh", wanted, func(err error) bool {
		told = append(told, err)
		return true
	})
	require.NoError(t, err)
	require.Equal(t, []int{1}, n.added, "what is missing, once")
	require.Len(t, told, 4, "it is tried until queries and workflows take them")
	require.ErrorContains(t, told[0], "fresh")
	require.ErrorContains(t, told[2], "does not take them yet")
	require.ErrorIs(t, told[3], errUnset)
	require.Len(t, n.histories.deleted, 3, "no probe stays")
}

func TestSearchAttributesThatMayNotBeRegisteredAreNamedAndWaitedFor(t *testing.T) {
	t.Parallel()
	n := &namespace{refuses: 1000, why: serviceerror.NewPermissionDenied("only admins", ""),
		known: map[string]enumspb.IndexedValueType{}}
	await := func(goOn func(error) bool) error {
		return config.AwaitSearchAttributes(t.Context(), n.client(), "acme prod", wanted, goOn)
	}
	err := await(func(error) bool { return false })
	require.ErrorIs(t, err, config.ErrMayNotRegister)
	require.ErrorContains(t, err, "only admins")
	require.ErrorContains(t, err, "temporal operator search-attribute create --namespace 'acme prod' --name CastellanOrg --type Keyword --name CastellanUntil --type Datetime")
	require.NoError(t, await(func(error) bool {
		n.known = wanted // somebody who may has registered them
		return true
	}))
	require.Empty(t, n.added)
}

func TestWaitingForSearchAttributesEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	n := &namespace{refuses: 1000, why: errors.New("unavailable"), known: map[string]enumspb.IndexedValueType{}}
	require.ErrorContains(t, config.AwaitSearchAttributes(ctx, n.client(), "acme", wanted,
		func(error) bool { return true }), "unavailable")
}
