"""Run the notebooks from top to bottom and keep what they print and draw.

    python -m tools.notebooks [NAME …]

Each is run by the Python that runs this, in a folder that is thrown away. What differs from run to run without saying
anything (times, counts of executions, warnings of libraries) is not kept.
"""

import sys
import tempfile
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
PATIENCE = 300  # seconds that a cell may take


def run(notebook: NotebookNode) -> NotebookNode:
    """The notebook with its outputs; a cell that fails raises what nbclient makes of it."""
    with tempfile.TemporaryDirectory() as folder:
        # Without folders to look in, the one kernel is that of the running Python, whatever is installed for its user.
        kernel = KernelManager(
            kernel_spec_manager=KernelSpecManager(kernel_dirs=[]), transport="ipc", ip=str(Path(folder) / "socket")
        )
        where = {"metadata": {"path": folder}}
        try:
            NotebookClient(
                notebook, km=kernel, timeout=PATIENCE, record_timing=False, coalesce_streams=True, resources=where
            ).execute()
        finally:
            if kernel.has_kernel:
                kernel.shutdown_kernel(now=True)
    return cleaned(notebook)


def cleaned(notebook: NotebookNode) -> NotebookNode:
    """Without what only says when and by what it was run."""
    notebook.metadata = NotebookNode(
        kernelspec={"display_name": "Python 3", "language": "python", "name": "python3"},
        language_info={"name": "python"},
    )
    for cell in notebook.cells:
        cell.metadata = NotebookNode()
        if cell.cell_type == "code":
            cell.execution_count = None
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            for output in cell.outputs:
                if "execution_count" in output:
                    output.execution_count = None
                if "image/png" in output.get("data", {}):
                    output.data.pop("text/plain", None)
                    output.metadata = NotebookNode()
    return notebook


def main() -> None:
    """Run those that are named, or all of them, and write each anew."""
    wanted = [FOLDER / Path(name).name for name in sys.argv[1:]] or sorted(FOLDER.glob("*.ipynb"))
    for path in wanted:
        done = run(nbformat.read(path, as_version=4))
        nbformat.write(done, path)
        print(f"{path.name}: {len(done.cells)} cells, {path.stat().st_size / 1e3:,.0f} kB")


if __name__ == "__main__":
    main()
