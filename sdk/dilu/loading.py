"""Loads decorated functions by target: `app.py`, `app.py:Embed`, `package.module:fn`."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType

from dilu.errors import LoadError
from dilu.handlers import FunctionDefinition, definition_of, wrapped_definition_of
from dilu.training_handlers import TrainingDefinition, is_replaced_training, training_definition_of


def load_function(target: str) -> FunctionDefinition:
    """Return the function that `target` names; without `:NAME` the module must define exactly one."""
    functions = load_functions(target)
    if len(functions) > 1:
        names = ", ".join(f"{target}:{attribute}" for attribute in functions)
        raise LoadError(f"{target}: defines {len(functions)} functions, name one: {names}")
    return next(iter(functions.values()))


def load_functions(target: str) -> dict[str, FunctionDefinition]:
    """Import the module of `target` and return the functions that it names, by attribute, in source order.

    Raise `LoadError` in one line that names the file and, if known, the line.
    """
    source, attribute = split_target(target)
    module = _import_source(source)
    found = _own_functions(module)
    if attribute is None:
        _check_wrappers(module, source, found)
        if not found:
            raise LoadError(f"{source}: {_no_function(module)}")
        return found
    value = getattr(module, attribute, None)
    definition = found.get(attribute) or definition_of(value)
    if definition is not None:
        return {attribute: definition}
    if wrapped_definition_of(value) is not None:
        raise _wrapped_error(target, attribute)
    if training_definition_of(value) is not None:
        raise LoadError(f"{target}: {attribute} is a training function; start it with dilu run {target}")
    known = f"; it has {', '.join(found)}" if found else ""
    what = "is not decorated with @dilu.function" if hasattr(module, attribute) else "does not exist"
    raise LoadError(f"{target}: {attribute} {what} in {source}{known}")


def load_training(target: str) -> TrainingDefinition:
    """Import the module of `target` and return the training class that it names.

    Without `:NAME` the module must define exactly one. Raise `LoadError` in one line that names the file and, if
    known, the line.
    """
    source, attribute = split_target(target)
    module = _import_source(source)
    found = _own_trainings(module)
    if attribute is not None:
        value = getattr(module, attribute, None)
        definition = training_definition_of(value)
        if definition is not None:
            return definition
        if is_replaced_training(value):
            raise LoadError(
                f"{target}: a decorator above @dilu.training has replaced {attribute}; put @dilu.training on top"
            )
        what = "is not decorated with @dilu.training" if hasattr(module, attribute) else "does not exist"
        known = f"; it has {', '.join(found)}" if found else ""
        raise LoadError(f"{target}: {attribute} {what} in {source}{known}")
    if len(found) > 1:
        names = ", ".join(f"{target}:{name}" for name in found)
        raise LoadError(f"{target}: defines {len(found)} training functions, name one: {names}")
    if not found:
        raise LoadError(f"{source}: defines no training function; decorate a class with @dilu.training")
    return next(iter(found.values()))


def split_target(target: str) -> tuple[str, str | None]:
    """Split `app.py:Embed` into (`app.py`, `Embed`); the name is None if it is left out."""
    source, colon, attribute = target.partition(":")
    is_module = all(source.split("."))
    if (source and not _is_file(source) and not is_module) and Path(source).is_dir():
        raise LoadError(f"{target!r}: is a folder; name the file in it, FILE.py or FILE.py:NAME")
    if (not is_module and not _is_file(source)) or (colon and not attribute.isidentifier()):
        raise LoadError(f"{target!r}: must be FILE.py, FILE.py:NAME, MODULE or MODULE:NAME")
    return source, attribute or None


def file_location(path: Path) -> Path:
    """Return the absolute path under which Python loads the file; a link is kept if its target is not a .py file."""
    located = path.resolve()
    return located if located.suffix == ".py" else path.absolute()


def _own_functions(module: ModuleType) -> dict[str, FunctionDefinition]:
    """Return the functions that the module itself defines, each under its first name."""
    found: dict[str, FunctionDefinition] = {}
    for name, value in vars(module).items():
        definition = definition_of(value)
        is_own = definition is not None and definition.target.__module__ == module.__name__
        if definition is not None and is_own and all(definition is not other for other in found.values()):
            found[name] = definition
    return found


def _own_trainings(module: ModuleType) -> dict[str, TrainingDefinition]:
    """Return the training classes that the module itself defines, each under its first name."""
    found: dict[str, TrainingDefinition] = {}
    for name, value in vars(module).items():
        definition = training_definition_of(value)
        if definition is not None and value.__module__ == module.__name__ and definition not in found.values():
            found[name] = definition
    return found


def _no_function(module: ModuleType) -> str:
    trainings = _own_trainings(module)
    if trainings:
        return f"defines only training functions ({', '.join(trainings)}), nothing to serve; start one with dilu run"
    return "defines no function; decorate a class or a function with @dilu.function"


def _check_wrappers(module: ModuleType, source: str, found: dict[str, FunctionDefinition]) -> None:
    """Raise if a function exists only inside another decorator's wrapper: the wrapper would not be served."""
    for name, value in vars(module).items():
        definition = wrapped_definition_of(value)
        is_own = definition is not None and definition.target.__module__ == module.__name__
        if is_own and all(definition is not other for other in found.values()):
            raise _wrapped_error(source, name)


def _wrapped_error(where: str, name: str) -> LoadError:
    return LoadError(
        f"{where}: {name} is wrapped by a decorator above @dilu.function, which would not be served; "
        f"put @dilu.function on top"
    )


def _is_file(source: str) -> bool:
    return source.endswith(".py") or "/" in source


def _import_source(source: str) -> ModuleType:
    try:
        return _import_file(Path(source)) if _is_file(source) else _import_module(source)
    except (LoadError, KeyboardInterrupt):
        raise
    except SyntaxError as error:
        where = f"{error.filename or source}:{error.lineno or 0}"
        raise LoadError(f"{where}: {error.msg}: {(error.text or '').strip()}".removesuffix(": ")) from error
    except BaseException as error:  # a module may call sys.exit(), too
        where = _where(error, source)
        if _is_file(source) and isinstance(error, ImportError) and "relative import" in str(error):
            raise LoadError(f"{where}: {_package_form(Path(source))}") from error
        raise LoadError(f"{where}: {type(error).__name__}: {_first_line(error)}".removesuffix(": ")) from error


def _package_form(path: Path) -> str:
    """Return how to name a file of a package so that its relative imports work."""
    path = path.resolve()
    parts = [] if path.stem == "__init__" else [path.stem]
    folder = path.parent
    while not parts or len(parts) < 2 or (folder / "__init__.py").is_file():
        if folder.parent == folder:
            break
        parts.insert(0, folder.name)
        folder = folder.parent
    return f"a relative import needs the package; in {folder}, name the target {'.'.join(parts)}:NAME"


def _import_file(path: Path) -> ModuleType:
    if path.is_dir():
        raise LoadError(f"{path}: is a folder; name the file in it, FILE.py or FILE.py:NAME")
    if not path.is_file():
        raise LoadError(f"{path}: no such file")
    location = file_location(path)
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)  # so that the file can import its neighbours
    name = path.stem
    known = sys.modules.get(name)
    if known is not None:
        if getattr(known, "__file__", None) == str(location):
            return known
        name = f"dilu_function_{name}"  # a file with the name of a loaded module, such as json.py
    spec = importlib.util.spec_from_file_location(name, location)
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
    """Return `file:line` of the user's frame that raised, ignoring frames of the import machinery and of Dilu."""
    own = str(Path(__file__).parent) + os.sep
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(("<", own)) and frame.filename != importlib.__file__
    ]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else source


def _first_line(error: BaseException) -> str:
    try:
        return str(error).strip().partition("\n")[0]
    except Exception:  # the error's __str__ is user code, too
        return "its text cannot be read"
