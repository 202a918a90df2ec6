"""Training programs as arms of the Palimpsest bench, and its data order for other loops.

`palimpsest.method` makes a program of a function; `palimpsest.numpy.method` does with NumPy's arrays, and is the
only part that needs a package beside the standard library. `palimpsest.record` keeps the run of a script that runs
by itself. `palimpsest.order` has the order of the contract, `palimpsest.sampler` the same for data loaders.
"""

from .protocol import VERSION, Refused
from .record import Record, record
from .task import Method, Task, method

__all__ = ["Method", "Record", "Refused", "Task", "VERSION", "__version__", "method", "record"]
__version__ = "0.1.0"
