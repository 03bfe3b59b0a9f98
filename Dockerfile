# Three images from one build: worker, starter, simulator. Each holds one static binary, the CA certificates and the time
# zones, and runs as a user without rights: docker build --target worker . A fourth tells the demo's story.

FROM --platform=$BUILDPLATFORM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG TARGETOS TARGETARCH VERSION=unknown
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /out/ ./worker ./starter ./simulator ./demo ./deploy/probe
# An empty folder to give to the user below: an image from scratch has nothing to make one with.
RUN mkdir /data

FROM scratch AS base
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /usr/local/go/lib/time/zoneinfo.zip /usr/share/zoneinfo.zip
COPY --from=build --chown=65532:65532 /data /data
ENV ZONEINFO=/usr/share/zoneinfo.zip
ARG VERSION=unknown
LABEL org.opencontainers.image.title="Castellan" \
      org.opencontainers.image.description="Keeps access in an Atlassian Cloud organization right, durably" \
      org.opencontainers.image.source="https://github.com/castellan-io/castellan" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version=$VERSION
USER 65532:65532
# The worker's ledger lies here unless CASTELLAN_LEDGER says otherwise: mount a volume to keep it.
WORKDIR /data

FROM base AS starter
COPY --from=build /out/starter /starter
ENTRYPOINT ["/starter"]

FROM base AS simulator
COPY --from=build /out/simulator /out/probe /
EXPOSE 8085 8443
HEALTHCHECK --interval=10s --timeout=6s --start-period=20s CMD ["/probe", "http://127.0.0.1:8085/_sim/stats"]
ENTRYPOINT ["/simulator"]
CMD ["--listen", "0.0.0.0:8085", "--people", "200", "--groups", "12"]

FROM temporalio/admin-tools:1.31.2 AS story
COPY --from=build /out/demo /out/starter /usr/local/bin/
COPY --chmod=644 examples/demo.yaml /demo/examples/demo.yaml
WORKDIR /demo
ENTRYPOINT ["demo"]

FROM base AS worker
COPY --from=build /out/worker /worker
# On all of the container's addresses: what the image is run with says who reaches them.
ENV CASTELLAN_LISTEN=0.0.0.0:9090
EXPOSE 9090
HEALTHCHECK --interval=10s --timeout=6s --start-period=20s CMD ["/worker", "--health"]
ENTRYPOINT ["/worker"]
