# A broker. `docker compose up` builds it; see docker-compose.yml.
FROM rust:1-bookworm AS build
WORKDIR /build
COPY Cargo.toml Cargo.lock build.rs ./
COPY build build
COPY schema schema
COPY zk-schema zk-schema
COPY src src
RUN cargo build --release --locked --bin barnabas

FROM debian:bookworm-slim
RUN useradd --system --home-dir /var/lib/barnabas barnabas \
 && install -d -o barnabas -g barnabas /var/lib/barnabas
COPY --from=build /build/target/release/barnabas /usr/local/bin/barnabas
COPY docker/broker/serving /usr/local/bin/serving
COPY docker/broker/server.properties /etc/barnabas/server.properties
USER barnabas
VOLUME /var/lib/barnabas
EXPOSE 9092 19092
ENTRYPOINT ["barnabas"]
CMD ["server", "/etc/barnabas/server.properties"]
