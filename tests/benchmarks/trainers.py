"""The two trainers that `tests.benchmarks.throughput` compares, each on a few steps."""

import argparse
import contextlib
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
import transformers
from transformers import AutoConfig, AutoModelForImageClassification, Trainer, TrainerCallback

from dermtune.config import Config, DataConfig, ModelConfig, TrainingConfig
from dermtune.data.dataset import Dataset, ImageRows, Split
from dermtune.data.place import Place
from dermtune.data.quarantine import Quarantine
from dermtune.device import in_bfloat16, reproducible, strictly_or_else
from dermtune.microbatch import Memory, micro_batch_for
from dermtune.plan import Trial
from dermtune.train import trainer_of
from dermtune.trainer import OneDevice
from tests.benchmarks.device_rates import synchronised
from tests.benchmarks.used import peak_mib
from tests.so400m import so400m

CLASSES = tuple("abcdefg")
ON_GPU = torch.cuda.is_available()
MEMORY = "reserved" if ON_GPU else "resident"
"""What is told of memory: what torch has taken of the GPU, or the process of the machine."""


def tiny(side: int) -> ModelConfig:
    """A Siglip that a CPU core trains."""
    vision = {"image_size": side, "patch_size": 16, "hidden_size": 192, "intermediate_size": 768,
              "num_hidden_layers": 4, "num_attention_heads": 3}  # fmt: skip
    return ModelConfig(architecture="siglip", settings={"vision_config": vision})


def config_of(asked: argparse.Namespace) -> Config:
    """What is trained."""
    model = so400m("mean", asked.image_size) if asked.model == "so400m" else tiny(asked.image_size)
    training = TrainingConfig(
        epochs=1,
        batch_size=asked.batch,
        accumulation=asked.accumulation,
        precision=asked.precision,
        gradient_checkpointing=asked.gradient_checkpointing,
        compile=asked.compile,
        attention=asked.attend_by,
        eval_batch_size=64,  # as the medsiglip recipe has it: `auto` tries an evaluation too
    )
    return Config(data=DataConfig(image_size=asked.image_size), model=model, training=training)


@dataclass
class Watch(TrainerCallback):
    """Times the steps behind the first ones, and ends the training."""

    asked: argparse.Namespace
    waited: float = 0.0
    began: float = 0.0
    began_cpu: float = 0.0
    took: float = 0.0
    took_cpu: float = 0.0

    def watch(self, trainer: Trainer) -> None:
        """Note what the trainer waits for its batches."""
        fetch = trainer.get_batch_samples

        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return fetch(*args, **kwargs)
            finally:
                self.waited += time.perf_counter() - began

        trainer.get_batch_samples = timed
        trainer.add_callback(self)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.asked.warm_up:
            self.began, self.began_cpu, self.waited = synchronised(), cpu_seconds(), 0.0
        elif state.global_step == self.asked.warm_up + self.asked.steps:
            self.took, self.took_cpu = synchronised() - self.began, cpu_seconds() - self.began_cpu
            control.should_training_stop = True

    def found(self) -> dict[str, float]:
        """Images a second, CPU seconds an image, share of waiting, bytes of `MEMORY`."""
        images = self.asked.steps * self.asked.batch * self.asked.accumulation
        memory = torch.cuda.max_memory_reserved() if ON_GPU else int(2**20 * peak_mib())
        return {
            "rate": images / self.took,
            "cpu": self.took_cpu / images,
            "wait": self.waited / self.took,
            "memory": memory,
        }


def cpu_seconds() -> float:
    """Of this process and its children, those that load images among them, so far."""
    here = psutil.Process()
    ended = here.cpu_times()
    taken = time.process_time() + ended.children_user + ended.children_system
    for child in here.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            taken += sum(child.cpu_times()[:2])
    return taken


def ours(asked: argparse.Namespace, images: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """dermtune's."""
    if asked.any_kernel:
        return _ours(asked, images, labels, strict=False)
    return strictly_or_else(
        lambda strict: _ours(asked, images, labels, strict=strict),
        lambda said: sys.stderr.write(f"{said}\n"),
    )


def _ours(asked: argparse.Namespace, images: np.ndarray, labels: np.ndarray, *, strict: bool) -> dict[str, float]:
    trial = Trial(arm="a", levers={}, seed=0, config=config_of(asked), fingerprints={})
    few = split(images, labels, np.arange(2))
    every = split(images, labels, np.arange(len(labels)))
    data = Dataset(classes=CLASSES, fingerprint="", quarantine=Quarantine(), train=every, val=few, test=few)
    held = found_micro_batch(asked)
    with reproducible(trial.seed, asked.threads, strict=strict), tempfile.TemporaryDirectory() as folder:
        if asked.any_kernel:
            torch.use_deterministic_algorithms(False)
        trainer = trainer_of(trial, data, Path(folder), lambda history: None, held)
        trainer.args.eval_strategy = trainer.args.save_strategy = "no"
        watch = Watch(asked)
        watch.watch(trainer)
        trainer.train()
    return watch.found()


def found_micro_batch(asked: argparse.Namespace) -> int | None:
    """The images that a pass holds; None as many as `--batch`."""
    with tempfile.TemporaryDirectory() as folder:
        place = Place(data_dir=Path(folder), cache_dir=Path(folder))
        return micro_batch_for(asked.micro_batch, config_of(asked), CLASSES, place, Memory.of_gpu(1.0))


def split(images: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> Split:
    names = rows.astype(str)
    return Split(sample_id=names, group_id=names, label=labels[rows], images=ImageRows(pixels=images, rows=rows))


class Pictures(torch.utils.data.Dataset):
    """Images as a user's dataset makes them, mirrored at random."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self._images, self._labels = images, labels
        self._processor = transformers.SiglipImageProcessorPil(do_resize=False)

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, i: int) -> dict[str, Any]:
        image = self._images[i][:, ::-1] if torch.rand(()) < 0.5 else self._images[i]
        pixels = self._processor(images=np.ascontiguousarray(image), return_tensors="pt")["pixel_values"][0]
        return {"pixel_values": pixels, "labels": int(self._labels[i])}


def stock(asked: argparse.Namespace, images: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """transformers'."""
    config = config_of(asked)
    transformers.logging.set_verbosity_error()
    transformers.set_seed(0)
    torch.set_num_threads(asked.threads)
    described = AutoConfig.for_model("siglip", **config.model.settings, num_labels=len(CLASSES))
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=AutoModelForImageClassification.from_config(described),
            args=OneDevice(  # else several GPUs would have a batch each
                output_dir=folder,
                use_cpu=not ON_GPU,
                per_device_train_batch_size=asked.batch,
                gradient_accumulation_steps=asked.accumulation,
                activation_checkpointing=asked.gradient_checkpointing,
                bf16=in_bfloat16(config.training),
                dataloader_num_workers=asked.workers,
                dataloader_pin_memory=ON_GPU,
                remove_unused_columns=False,
                save_strategy="no",
                logging_strategy="no",
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=Pictures(images, labels),
        )
        watch = Watch(asked)
        watch.watch(trainer)
        trainer.train()
    return watch.found()
