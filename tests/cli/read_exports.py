"""Read exports back with the tools that they are for.

    python3 read_exports.py FOLDER

FOLDER has an export of each form below its own name: tensorboard, mlflow, ro-crate, parquet, citation, in-toto (statements
in envelopes, beside key.pub.pem). Printed is one JSON document: what each tool read and its version; null for one that is
not installed, or has nothing to read. A tool that refuses a file ends this with its own message.
"""

import hashlib
import importlib
import importlib.metadata
import json
import os
import sys
from pathlib import Path

# MLflow reads its file store only where it is told that this is meant.
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"


def tensorboard(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    runs = {}
    for path in sorted(folder.rglob("events.out.tfevents.*")):
        read = EventAccumulator(str(path.parent), size_guidance={"scalars": 0, "tensors": 0})
        read.Reload()
        content = read.PluginTagToContent("hparams")["_hparams_/session_start_info"]
        settings = HParamsPluginData.FromString(content).session_start_info.hparams
        runs[str(path.parent.relative_to(folder))] = {
            "scalars": {tag: [[e.step, e.wall_time, e.value] for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]},
            "run": json.loads(read.Tensors("palimpsest/run")[0].tensor_proto.string_val[0]),
            "settings": {name: getattr(value, value.WhichOneof("kind")) for name, value in settings.items()},
        }
    return runs


def mlflow(folder):
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=folder.resolve().as_uri())
    runs = {}
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id]):
            history = {
                name: [[m.step, m.timestamp, m.value] for m in client.get_metric_history(run.info.run_id, name)]
                for name in run.data.metrics
            }
            artifacts = [one.path for one in client.list_artifacts(run.info.run_id)]
            runs[run.data.tags["palimpsest.cell"]] = {
                "experiment": experiment.name, "name": run.info.run_name, "status": run.info.status, "params": run.data.params,
                "tags": run.data.tags, "metrics": history, "artifacts": sorted(artifacts),
            }
    return runs


def rocrate(folder):
    from rocrate.rocrate import ROCrate

    crate = ROCrate(folder)
    files = [one for one in crate.data_entities if one.type == "File"]
    for one in files:
        digest = hashlib.sha256((folder / one.id).read_bytes()).hexdigest()
        assert digest == one["sha256"], one.id
    actions = [one for one in crate.contextual_entities if one.type == "CreateAction"]
    return {
        "name": crate.name, "license": crate.license.id, "files": len(files),
        "actions": {one.id: {"identifier": one["identifier"], "results": len(one["result"]), "instrument": one["instrument"]["name"]} for one in actions},
    }


def pyarrow(folder):
    from pyarrow import parquet

    tables = {}
    for path in sorted(folder.glob("*.parquet")):
        table = parquet.read_table(path)
        tables[path.stem] = {"types": {field.name: str(field.type) for field in table.schema}, "rows": table.to_pylist()}
    return tables


def cffconvert(folder):
    from cffconvert import Citation

    citation = Citation((folder / "CITATION.cff").read_text())
    citation.validate()
    return {"bibtex": citation.as_bibtex(), "references": len(citation.cffobj["references"])}


def in_toto_attestation(folder):
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from google.protobuf import json_format
    from in_toto_attestation.v1 import statement_pb2
    from in_toto_attestation.v1.statement import Statement
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import SSlibKey

    public = load_pem_public_key((folder / "key.pub.pem").read_bytes())
    statements = {}
    for path in sorted(folder.glob("*.dsse.json")):
        envelope = Envelope.from_dict(json.loads(path.read_text()))
        # An id is a hint, and tools make it differently: the key is told by ours.
        keys = [SSlibKey.from_crypto(public, keyid=keyid) for keyid in envelope.signatures]
        envelope.verify(keys, 1)
        statement = json_format.Parse(envelope.payload, statement_pb2.Statement())
        Statement.copy_from_pb(statement).validate()
        statements[path.name.split(".")[0]] = {one.name: one.digest["sha256"] for one in statement.subject}
    return statements


READERS = {
    "tensorboard": (tensorboard, "tensorboard", ["tensorboard"]),
    "mlflow": (mlflow, "mlflow-skinny", ["mlflow"]),
    "ro-crate": (rocrate, "rocrate", ["rocrate"]),
    "parquet": (pyarrow, "pyarrow", ["pyarrow"]),
    "citation": (cffconvert, "cffconvert", ["cffconvert"]),
    "in-toto": (in_toto_attestation, "in-toto-attestation", ["in_toto_attestation", "securesystemslib", "cryptography"]),
}


def is_installed(packages):
    try:
        return all(importlib.import_module(package) for package in packages)
    except ImportError:
        return False


def main():
    folder = Path(sys.argv[1])
    read = {}
    for form, (reader, distribution, packages) in READERS.items():
        if not (folder / form).is_dir() or not is_installed(packages):
            read[form] = None
            continue
        try:
            version = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            version = "unknown"
        read[form] = {"version": version, "read": reader(folder / form)}
    json.dump(read, sys.stdout)


if __name__ == "__main__":
    main()
