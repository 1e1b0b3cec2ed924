"""Finds decorated functions by what a person types: `app.py`, `app.py:Embed`, `package.module:fn`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from dilu.errors import LoadError
from dilu.handlers import FunctionDefinition, definition_of


def load_function(target: str) -> FunctionDefinition:
    """The one function that `target` names; without `:NAME` the module must hold exactly one."""
    functions = load_functions(target)
    if len(functions) > 1:
        names = ", ".join(f"{target}:{attribute}" for attribute in functions)
        raise LoadError(f"{target}: holds {len(functions)} functions, say which one: {names}")
    return next(iter(functions.values()))


def load_functions(target: str) -> dict[str, FunctionDefinition]:
    """The functions that `target` names, by attribute, in the order of the source.

    Imports the module. Raises `LoadError` in one line that names the file and, where known, the line.
    """
    source, attribute = split_target(target)
    module = _import_source(source)
    found: dict[str, FunctionDefinition] = {}
    for name, value in vars(module).items():
        definition = definition_of(value)
        is_own = definition is not None and definition.target.__module__ == module.__name__
        if definition is not None and is_own and all(definition is not other for other in found.values()):
            found[name] = definition
    if attribute is None:
        if not found:
            raise LoadError(f"{source}: holds no function; decorate a class or a function with @dilu.function")
        return found
    if attribute in found:
        return {attribute: found[attribute]}
    imported = definition_of(getattr(module, attribute, None))
    if imported is not None:
        return {attribute: imported}
    known = f"; it has {', '.join(found)}" if found else ""
    what = "is not decorated with @dilu.function" if hasattr(module, attribute) else "does not exist"
    raise LoadError(f"{target}: {attribute} {what} in {source}{known}")


def split_target(target: str) -> tuple[str, str | None]:
    """`app.py:Embed` as (`app.py`, `Embed`); the name is None where it is left out."""
    source, colon, attribute = target.partition(":")
    if not source or (colon and not attribute.isidentifier()):
        raise LoadError(f"{target!r}: must be FILE.py, FILE.py:NAME, MODULE or MODULE:NAME")
    return source, attribute or None


def _import_source(source: str) -> ModuleType:
    is_file = source.endswith(".py") or "/" in source
    try:
        return _import_file(Path(source)) if is_file else _import_module(source)
    except LoadError:
        raise
    except SyntaxError as error:
        where = f"{error.filename or source}:{error.lineno or 0}"
        raise LoadError(f"{where}: {error.msg}: {(error.text or '').strip()}") from error
    except Exception as error:
        raise LoadError(f"{_where(error, source)}: {type(error).__name__}: {_first_line(error)}") from error


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise LoadError(f"{path}: no such file")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)  # so that the function's file imports its neighbours
    name = path.stem
    known = sys.modules.get(name)
    if known is not None:
        if getattr(known, "__file__", None) == str(path.resolve()):
            return known
        name = f"dilu_function_{name}"  # a file called like a module that is loaded already, say json.py
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise LoadError(f"{path}: is not a Python file (its name must end in .py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _import_module(name: str) -> ModuleType:
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise LoadError(f"{name}: no such module (looked in the working folder and in the environment)") from error
        raise


def _where(error: BaseException, source: str) -> str:
    """`file:line` of the user's frame that raised; frames of the import machinery are passed over."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<") and frame.filename not in (__file__, importlib.__file__)
    ]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else source


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
