# docker build -t rollbackd:0.1.0 .
#
# Nothing secret is needed to build it, and nothing is in the image but the program, the C library and the certificates
# of the usual authorities.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --locked --release

# The same C library as where it was built; without a shell.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/rollbackd /usr/bin/rollbackd
COPY --from=build /src/LICENSE /usr/share/doc/rollbackd/LICENSE
# In numbers, so that Kubernetes can see that it is not root.
USER 65532:65532
ENTRYPOINT ["/usr/bin/rollbackd"]
CMD ["run", "--config", "/etc/rollbackd/rollbackd.toml"]
