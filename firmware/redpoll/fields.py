# What a product declares of its values, `name=(int, 5, 3600)`, and how what the cloud sends is checked against it.


def is_whole(value):
    """True for a whole number that is not negative."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def declared(fields):
    """The fields as they came. ValueError for one that is not (int|float|str, low, high) or (bool,); a text's bounds are its length."""
    for name, field in fields.items():
        if not _is_field(field):
            raise ValueError("%s=(int, low, high), also of float or str (length), or (bool,), not %r" % (name, field))
    return fields


def _is_field(field):
    if not isinstance(field, tuple) or not field:
        return False
    if field[0] is bool:
        return len(field) == 1
    bounds = field[1:]
    return (
        field[0] in (int, float, str)
        and len(bounds) == 2
        and all([isinstance(bound, (int, float)) and not isinstance(bound, bool) for bound in bounds])
        and bounds[0] <= bounds[1]
    )


def problems(values, fields, unknown=None):
    """What is wrong with values that came by their names, in one text; "" for nothing. `unknown` says it of a name that no field has."""
    found = []
    for name in values:
        reason = mismatch(values[name], fields[name]) if name in fields else unknown
        if reason:
            found.append("%s %s" % (name, reason))
    return "; ".join(sorted(found))


def mismatch(value, field):
    """Why the value is not of its field, such as "must be a whole number from 5 to 3600", or None."""
    kind = field[0]
    if kind is bool:
        return None if isinstance(value, bool) else "must be true or false"
    if kind is str:
        if isinstance(value, str) and field[1] <= len(value) <= field[2]:
            return None
        return "must be a text of %s to %s characters" % field[1:]
    fits = isinstance(value, int) if kind is int else isinstance(value, (int, float))
    if fits and not isinstance(value, bool) and field[1] <= value <= field[2]:
        return None
    return "must be %s from %s to %s" % ("a whole number" if kind is int else "a number", field[1], field[2])
