#!/usr/bin/env bash
# All that needs a CUDA device, on a machine without a network, from the project's root and in under eight minutes:
#     make gpu                                     where there is a network: fills .gpu/
#     tests/gpu/run.sh [RESULTS]                   on the CUDA machine; results in $OUT, RESULTS or build/gpu
#     tests/gpu/run.sh --tiny [RESULTS]            the same steps with tiny sizes on any device, to try this script
# The limits of the steps add up to eight minutes. Each has a log and a line in summary.txt; one that fails does not stop the
# others. Exit code 1 if one failed.
set -uo pipefail
cd "$(dirname "$0")/../.."
tiny=; [ "${1:-}" = --tiny ] && { tiny=1; shift; }
out=${1:-${OUT:-build/gpu}}; mkdir -p "$out"; out=$(cd "$out" && pwd)
packed=${PACKED:-$PWD/.gpu}; python=${PYTHON:-python3}; site=$packed/site; images=$packed/data
export PYTHONPATH="$site:$PWD" NO_ALBUMENTATIONS_UPDATE=1 WANDB_MODE=offline HF_HUB_OFFLINE=1
failed=0 slower=${tiny:+20}; slower=${slower:-1}  # without a GPU any machine may run it, with other work, too

step() {  # NAME SECONDS COMMAND...: run a step within its time, with its log
    local name=$1 limit=$(($2 * slower)) start=$SECONDS; shift 2
    if timeout "$limit" "$@" >"$out/$name.log" 2>&1; then local end=ok; else local end="FAILED ($?)"; failed=1; fi
    echo "$name: $end, $((SECONDS - start)) s" | tee -a "$out/summary.txt"
    [ "$end" = ok ] || tail -n 15 "$out/$name.log"
}

: >"$out/summary.txt"
rm -rf "$site"
step install 50 "$python" -m pip install -q --no-index --no-deps --target "$site" "$packed"/*.whl
step import 20 "$python" -c 'import skinlab.commands.train, skinlab.commands.pretrain, skinlab.commands.predict, torch
print(torch.__version__, torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA device")'
cat "$out/import.log"
data=(data=phantom "data.root=$images/phantom" data.n_images=9000)
if [ -f "$packed/ham10000.tar" ] && [ -z "$tiny" ]; then
    mkdir -p "$images" && tar -xf "$packed/ham10000.tar" -C "$images" && data=(data=ham10000 "data.root=$images/ham10000")
fi
workers=$(($(nproc) > 1 ? $(nproc) - 1 : 1))
size=160 epochs=6 model=resnet50 tiny_words=()
if [ -n "$tiny" ]; then
    size=32 epochs=1 model=resnet18 workers=0 tiny_words=(--tiny)
    data=(data=phantom "data.root=$images/phantom" data.n_images=240 data.phantom_size=48 data.n_folds=2)
fi
common=("${data[@]}" "data.num_workers=$workers" "data.image_size=$size" "model=$model" model.init=random callbacks.progress=false)

step tests 80 "$python" -m pytest -p no:cacheprovider -m gpu tests/gpu tests/models/test_prediction.py
step speed 150 "$python" -m tests.gpu.speed "$out/speed" --workers "$workers" "${tiny_words[@]}" --data "${data[@]}"
step train 70 "$python" -m skinlab.train "${common[@]}" data.cache=ram "trainer.max_epochs=$epochs" test=true "hydra.run.dir=$out/train"
folder=$(dirname "$(find "$images" -name '*.jpg' -print -quit)")
step predict 40 "$python" -m skinlab.predict "ckpt=$out/train" "input=$folder" "output=$out/predictions.csv" overwrite=true
# One process by itself and one by DDP see the same batches: their predictions must agree.
for strategy in auto ddp; do
    step "$strategy" 30 "$python" -m skinlab.train "${common[@]}" trainer.max_epochs=1 trainer.limit_train_batches=20 evidence=off \
        "trainer.strategy=$strategy" trainer.precision=32-true "hydra.run.dir=$out/$strategy"
done
step compare 10 "$python" -m tests.gpu.compare "$out/auto/predictions/val.csv" "$out/ddp/predictions/val.csv"
cat "$out/compare.log"; grep -h "images/s" "$out/speed.log"
exit $failed
