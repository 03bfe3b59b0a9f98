package config

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// refuseHeaders refuses a call with headers that gRPC cannot send, such as one about a workflow whose ID is not ASCII:
// gRPC would report a failed connection, and the client would try again for ever.
func refuseHeaders(ctx context.Context, method string, req, reply any, on *grpc.ClientConn, invoke grpc.UnaryInvoker,
	opts ...grpc.CallOption) error {
	headers, _ := metadata.FromOutgoingContext(ctx)
	for _, values := range headers {
		for _, value := range values {
			for i := range len(value) {
				if value[i] < ' ' || value[i] > '~' {
					return status.Errorf(codes.InvalidArgument,
						"%q is not plain ASCII, so Temporal cannot be asked about it: check the name", value)
				}
			}
		}
	}
	return invoke(ctx, method, req, reply, on, opts...)
}
