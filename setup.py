"""Packaging. The base install is small and has no TensorFlow; everything heavier is an extra."""

from setuptools import find_packages, setup

# Data sets by name, read without TensorFlow. Older versions cannot read them with today's protobuf, or have no wheel
# for Python 3.13.
TFDS = ["tensorflow-datasets>=4.9.10", "array_record>=0.8.1"]
PARQUET = "pyarrow>=18"
PLOTS = "matplotlib>=3.8"
WORDS = "tokenizers>=0.21"  # byte pairs, by the library that CLIP's files are published for
FACES = "opencv-python-headless>=4.10,<5"  # from 4.10 with NumPy 2; OpenCV 5 has no cascades

setup(
    name="pixace",
    version="0.2.0",
    description="Train and sample autoregressive image transformers: pixel after pixel, on JAX",
    license="Apache-2.0",
    packages=find_packages(include=["pixace", "pixace.*"]),
    package_data={
        "pixace.zoo": ["*.json", "*.sha256.gz", "models/*/*"],
        "pixace.clip": ["models/*/*"],
        "pixace.style.ui": ["*.html"],
    },
    python_requires=">=3.11",
    install_requires=[
        "absl-py>=2.1",
        "jax>=0.10.2,<0.13",
        "numpy>=2.0",
        "optax>=0.2.8,<0.3",
        "orbax-checkpoint>=0.11.36,<0.13",
        "packaging>=24",
        "pillow>=11",
        "pydantic>=2.11",  # what guide files may say
        "pyyaml>=6.0.2",
        "rich>=13",
        "safetensors>=0.5",
        "tensorboard>=2.18",
        "tensorboardX>=2.6.2",
    ],
    extras_require={
        "cuda": ["jax[cuda12]>=0.10.2,<0.13"],
        "tpu": ["jax[tpu]>=0.10.2,<0.13"],
        "tfds": TFDS,
        "parquet": [PARQUET],
        "plots": [PLOTS],  # figures of a canvas's layers
        "faces": [FACES],  # pixace style --keep_faces
        "clip": [WORDS],  # words for downloaded CLIPs
        "gdown": ["gdown>=6.5,<7"],  # the model on Google Drive
        # Trax's last release (2021) asks for no versions; it runs on these, with `pixace/trax_engine` round it.
        "trax": ["trax==1.4.1", "jax>=0.10.2,<0.11", "tensorflow==2.21.*", "tensorflow-text==2.21.*", "numpy<2.5"],
        "dev": [
            *("pytest>=8", "pytest-xdist>=3.8", "ruff==0.17.5", "pyright[nodejs]==1.1.414", "scikit-image>=0.25"),
            *("nbclient>=0.10", "ipykernel>=6.29"),
            *TFDS,
            PARQUET,
            PLOTS,
            FACES,
            WORDS,
        ],
    },
    entry_points={"console_scripts": ["pixace = pixace.cli.main:main"]},
)
