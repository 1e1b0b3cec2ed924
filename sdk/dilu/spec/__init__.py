"""The vocabulary of all parts: function specs, profiles, annotations and names.

It has only frozen, validated values and their conversion from and to text. It imports no other part. Reading and
writing files is in `dilu.spec.documents`, which `import dilu` does not load.
"""

from dilu.spec import names
from dilu.spec.annotations import from_annotations, to_annotations
from dilu.spec.fields import FieldError
from dilu.spec.functions import FunctionSpec, Kind, Slo
from dilu.spec.mappings import SpecOptions, from_mapping, function_spec, merge, to_mapping
from dilu.spec.profiles import ColdStart, ExecPoint, Profile

__all__ = [
    "ColdStart",
    "ExecPoint",
    "FieldError",
    "FunctionSpec",
    "Kind",
    "Profile",
    "Slo",
    "SpecOptions",
    "from_annotations",
    "from_mapping",
    "function_spec",
    "merge",
    "names",
    "to_annotations",
    "to_mapping",
]
