# syntax=docker/dockerfile:1
# One program; the command says what it does. For both architectures, compiled on that of the builder:
#
#   docker buildx build --platform linux/amd64,linux/arm64 -t pushgate .
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
ARG TARGETOS
ARG TARGETARCH
ARG VERSION
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY cmd cmd
COPY internal internal
COPY nginx nginx
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -ldflags="-s -w -X pushgate/internal/version.version=$VERSION" -o /out/pushgate ./cmd/pushgate \
    && ln -s pushgate /out/edge && ln -s pushgate /out/publisher

# Nothing else but the certificates that rediss:// needs. There is no shell, and no entry point: /edge and /publisher are commands.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/ /
# The health check asks here. Health is of the container alone, so the port is on its loopback.
ENV PUSHGATE_ADMIN_LISTEN=127.0.0.1:9090
USER 65532:65532
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=4s --start-period=30s --retries=3 CMD ["/pushgate", "health"]
CMD ["/pushgate", "serve"]
