# Palimpsest on the CPU. Build: docker build -t palimpsest .
# Run:   docker run --rm -v "$PWD/data:/data" -v "$PWD/runs:/runs" palimpsest run digits
FROM rust:1.95-slim-bookworm AS build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ git python3 python3-pip \
    && rm -rf /var/lib/apt/lists/*
# The same path in both stages: the run path of the programs leads here.
ENV PALIMPSEST_CACHE=/opt/palimpsest/cache
WORKDIR /src
# Set-up alone first, so that libtorch is fetched again only when its pins change.
COPY Cargo.toml ./
COPY scripts/setup.py scripts/
RUN python3 scripts/setup.py cpu
COPY . .
RUN python3 scripts/setup.py cpu \
    && cargo build --locked --profile dist --features parquet --bins \
    && python3 scripts/install.py --profile dist --prefix /opt/palimpsest

FROM debian:bookworm-slim
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libstdc++6 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 palimpsest \
    && install --directory --owner palimpsest --group palimpsest /data /runs
COPY --from=build /opt/palimpsest/bin /opt/palimpsest/bin
COPY --from=build /opt/palimpsest/cache/libtorch-2.11.0-cpu/lib /opt/palimpsest/cache/libtorch-2.11.0-cpu/lib
COPY --from=build /opt/palimpsest/cache/data /opt/palimpsest/cache/data
ENV PATH=/opt/palimpsest/bin:$PATH \
    PALIMPSEST_DATA=/data \
    PALIMPSEST_STORE=/runs
USER 10001
WORKDIR /home/palimpsest
VOLUME ["/data", "/runs"]
ENTRYPOINT ["palimpsest"]
CMD ["--help"]
