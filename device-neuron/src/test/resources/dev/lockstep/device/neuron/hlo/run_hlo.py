"""Runs HLO modules by XLA on the host's processor.

usage: run_hlo.py FOLDER

FOLDER/manifest.json lists modules: their file, the number of replicas and the parameters' element types and shapes.
Parameter I of replica R of module M is in M.R.in.I, result I goes to M.R.out.I, raw and row-major.
"""

import json
import os
import pathlib
import sys

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import ml_dtypes
import numpy as np
from jax._src import xla_bridge
from jax._src.interpreters import mlir as jax_mlir
from jax._src.lib import _jax
from jax._src.lib import xla_client as xc
from jax._src.lib.mlir import ir
from jax.sharding import Mesh, NamedSharding, PartitionSpec

TYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "BF16": ml_dtypes.bfloat16,
    "F16": np.float16,
    "F8_E4M3FN": ml_dtypes.float8_e4m3fn,
    "F8_E4M3": ml_dtypes.float8_e4m3,
    "F8_E5M2": ml_dtypes.float8_e5m2,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
}


def compiled(proto, devices):
    computation = xc.XlaComputation(proto)
    text = _jax.mlir.xla_computation_to_mlir_module(computation)
    module = ir.Module.parse(text, context=jax_mlir.make_ir_context())
    options = xc.CompileOptions()
    options.num_replicas = len(devices)
    options.num_partitions = 1
    options.device_assignment = xc.DeviceAssignment.create(np.arange(len(devices)).reshape(len(devices), 1))
    return xla_bridge.get_backend("cpu").compile_and_load(module, _jax.DeviceList(tuple(devices)), options)


def run(folder, number, module):
    replicas = module["replicas"]
    devices = jax.devices("cpu")[:replicas]
    executable = compiled((folder / module["file"]).read_bytes(), devices)
    everywhere = NamedSharding(Mesh(np.array(devices), ("replica",)), PartitionSpec())
    arguments = []
    for i, parameter in enumerate(module["parameters"]):
        shape = tuple(parameter["shape"])
        shards = []
        for replica, device in enumerate(devices):
            raw = (folder / f"{number}.{replica}.in.{i}").read_bytes()
            elements = np.frombuffer(raw, dtype=TYPES[parameter["dtype"]]).reshape(shape)
            shards.append(jax.device_put(elements, device))
        arguments.append(jax.make_array_from_single_device_arrays(shape, everywhere, shards))
    results = executable.execute_sharded(arguments).disassemble_into_single_device_arrays()
    for i, shards in enumerate(results):
        for replica, shard in enumerate(shards):
            (folder / f"{number}.{replica}.out.{i}").write_bytes(np.asarray(shard).tobytes())


def main():
    jax.config.update("jax_enable_x64", True)
    folder = pathlib.Path(sys.argv[1])
    for number, module in enumerate(json.loads((folder / "manifest.json").read_text())):
        run(folder, number, module)


main()
