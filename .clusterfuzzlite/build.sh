#!/bin/bash -eu
# Builds the fuzz targets for ClusterFuzzLite and OSS-Fuzz: into $OUT, each beside its seeds and options. They set $SRC,
# $OUT, $RUSTFLAGS and the rest.
cd "$SRC/cc-lb-fuzz"

# The nightly toolchain of their image is older than the rust-version in Cargo.toml.
export RUSTUP_TOOLCHAIN=nightly
rustc --version || rustup toolchain install nightly --profile minimal

export RUSTC_WRAPPER=$PWD/fuzz/rustc-wrapper
cargo fuzz build -O
triple=$(rustc --version --verbose | sed -n 's/^host: //p')

for target in dispatch handshake plugin; do
    cp "target/$triple/release/$target" "$OUT/"
    zip --quiet --junk-paths "$OUT/${target}_seed_corpus.zip" "corpus/$target"/*
    cp ".clusterfuzzlite/$target.options" "$OUT/"
done
cp .clusterfuzzlite/plugin.dict "$OUT/"
