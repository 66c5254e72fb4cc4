#!/usr/bin/env bash
# Everything that needs a GPU, in under eight minutes on one H200: ceilings, training step, drawing, memory, long
# pictures, a short training. Results as JSON lines in $OUT/gpu.jsonl, one file a benchmark beside it, logs in $OUT/logs.
#
#     benchmarks/gpu.sh                        on a machine with a GPU
#     DEVICE=cpu SMALL=1 OUT=/tmp/rehearsal benchmarks/gpu.sh      a rehearsal at small sizes, figures of no worth
#
# PYTHON (default python3) needs JAX 0.10 or 0.11 with CUDA and what setup.py names. WHEELS names a folder of packages or
# wheels, pure Python, to be used beside those installed (default .gpu-deps where it exists): with Trax in it, Trax
# is the other side; without, its method in plain JAX stands in, and every table says so. A part that fails or
# outlasts its time is named at the end, and the exit code is then 1; the others still run.
set -u
cd "$(dirname "$0")/.."
export OUT=$(realpath -m "${OUT:-benchmarks/results}") PYTHONUNBUFFERED=1 XLA_PYTHON_CLIENT_PREALLOCATE=false
device=${DEVICE:-gpu} python=${PYTHON:-python3} small=${SMALL:-} wheels=${WHEELS:-.gpu-deps}
mkdir -p "$OUT/logs"
[ "$device" = cpu ] && export JAX_PLATFORMS=cpu
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIXACE_CACHE=$work/cache
if [ -d "$wheels" ]; then  # wheels of pure Python are zip files: unpacked they can be imported
    for wheel in "$wheels"/*.whl; do [ -e "$wheel" ] && "$python" -m zipfile -e "$wheel" "$work/packages"; done
    export PYTHONPATH=$PYTHONPATH:$work/packages:$(realpath "$wheels")
fi
if [ -n "$small" ]; then
    sizes="--d_model=32 --layers=1 --heads=2 --image_size=8 --small" batch=2 batches=1,2 steps=2 rounds=3 memory=1,2
    long="--sizes=16 --batch_sizes=1 --d_model=32 --n_heads=2 --n_layers=1 --attentions=lsh,full" train_steps=4
    short="--image_size=8 --d_model=32 --n_layers=1 --n_heads=2 --batch_size=4 --n_steps=4"
else
    sizes="" batch=16 batches=1,16 steps=10 rounds=3 memory=8,16
    long="--sizes=64,128 --batch_sizes=8,4 --dtype=bfloat16" train_steps=200
    short="--image_size=32 --dtype=bfloat16 --batch_size=64 --n_steps=300"
fi
ALL_SECONDS=${ALL_SECONDS:-465}  # a part that begins late gets what is left of it
failed=""
: > "$OUT/gpu.jsonl"

# part NAME SECONDS COMMAND...: runs it, keeps its log, appends its last line to gpu.jsonl if that is JSON.
part() {
    local name=$1 limit=$2 started=$SECONDS left=$((ALL_SECONDS - SECONDS))
    shift 2
    echo "== $name"
    [ "$left" -lt "$limit" ] && limit=$left
    if [ "$limit" -lt 10 ]; then
        failed="$failed $name"
        echo "left out: the time is used up"
        return
    fi
    if timeout "$limit" "$@" > "$OUT/logs/$name.txt" 2>&1; then
        grep -v '^{' "$OUT/logs/$name.txt" | tail -n 14
        tail -n 1 "$OUT/logs/$name.txt" | grep '^{' >> "$OUT/gpu.jsonl"
    else
        failed="$failed $name"
        tail -n 5 "$OUT/logs/$name.txt"
    fi
    echo "-- $name: $((SECONDS - started)) s"
}

part roofline 60 "$python" benchmarks/roofline.py --device="$device" ${small:+--small}
for kind in transformer reformer; do
    part "train_step_$kind" 150 "$python" benchmarks/train_step.py --device="$device" $sizes --model_type=$kind \
        --batch=$batch --steps=$steps --rounds=$rounds --bfloat16
    part "decode_$kind" 120 "$python" benchmarks/decode.py --device="$device" $sizes --model_type=$kind \
        --batches=$batches --rounds=$rounds --train_steps=$train_steps --train_batch=$batch
done
part short_training 90 "$python" benchmarks/short_training.py --device="$device" $short
part long_pictures 120 "$python" benchmarks/long_pictures.py --cost_only $long
for kind in transformer reformer; do
    part "memory_$kind" 120 "$python" benchmarks/memory.py --device="$device" $sizes --model_type=$kind \
        --batches=$memory --rounds=1 --what=train  # bytes are the same in every round
done

echo "results: $OUT/gpu.jsonl; $SECONDS s in all"
[ -z "$failed" ] || { echo "failed or too slow:$failed"; exit 1; }
