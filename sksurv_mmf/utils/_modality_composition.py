"""Parameters of estimators that hold one part per modality."""

from ._sklearn import BaseComposition


class ModalityComposition(BaseComposition):
    """Base of estimators whose parameter `modalities` lists ``(name, part)`` or ``(name, part, columns)``."""

    # scikit-learn's compositions address their parts as (name, part) pairs; a third item, the columns, is kept aside.
    @property
    def _parts(self):
        if not isinstance(self.modalities, list) or not all(isinstance(one, tuple) for one in self.modalities):
            return []  # fit says what is wrong; get_params and set_params never do
        return [modality[:2] for modality in self.modalities]

    @_parts.setter
    def _parts(self, named):
        self.modalities = [(*pair, *modality[2:]) for pair, modality in zip(named, self.modalities)]

    def _check_modalities(self, kind, which, is_part):
        """Refuse `modalities` of another form; messages call what ``is_part`` accepts a `kind`, told by `which`."""
        form = f"(name, {kind}) or (name, {kind}, columns) with {kind}s {which}"
        if isinstance(self.modalities, dict):
            raise ValueError(f"modalities must be a list of tuples {form}, got a dict. Write list(modalities.items()).")
        if not isinstance(self.modalities, list):
            return  # scikit-learn's validation knows what to say
        if not self.modalities:
            raise ValueError(f"modalities is an empty list; name at least one, as in [('rna', {kind})].")
        for modality in self.modalities:
            if not (isinstance(modality, tuple) and len(modality) in (2, 3) and is_part(modality[1])):
                raise ValueError(f"modalities must hold tuples {form}, got {modality!r}.")
        self._validate_names([name for name, _ in self._parts])

    def get_params(self, deep=True):
        """Get the parameters of this estimator and, by ``<modality>__<parameter>``, of its parts.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the parameters of parts.

        Returns
        -------
        params : dict
            Parameter names mapped to their values.
        """
        return self._get_params("_parts", deep=deep)

    def set_params(self, **params):
        """Set parameters of this estimator or of its parts.

        Parameters
        ----------
        **params : dict
            Of the estimator by name, of its parts for example ``wsi__hidden_dim=128``. Parts that are None have no
            parameters.

        Returns
        -------
        self : estimator instance
            This estimator.
        """
        # New modalities first, so that nested parameters reach their parts and not those they replace.
        self.modalities = params.pop("modalities", self.modalities)
        self._check_parents(params)
        self._set_params("_parts", **params)
        return self

    def _check_parents(self, params):
        """Refuse parameters of what has none, such as ``device__x`` of a text."""
        nested = [key for key in params if "__" in key]
        known = self.get_params() | params if nested else {}
        for key in nested:
            names = key.split("__")
            for parent in map("__".join, (names[:i] for i in range(1, len(names)))):
                if parent in known and not hasattr(known[parent], "set_params"):
                    raise ValueError(
                        f"Parameter {key!r} cannot be set: {parent} of {type(self).__name__} is {known[parent]!r:.80}, "
                        "which has no parameters."
                    )


class InferredComposition(ModalityComposition):
    """Base of estimators that infer their modalities if `modalities` is None, and whose parts are set by name even so.

    What is known of parts before there is a table is kept in the parameter `encoders`, a dict of the name of a modality
    to its part or to parameters of it. Parts of `default_parts` that are None are made when a parameter of theirs is
    set.
    """

    default_parts: dict

    def get_params(self, deep=True):
        """Get the parameters of this estimator and, by ``<part>__<parameter>``, of its parts.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the parameters of parts. Of modalities that are inferred, these are those that were set.

        Returns
        -------
        params : dict
            Parameter names mapped to their values.
        """
        params = super().get_params(deep=deep)
        if not deep or self.modalities is not None or not isinstance(self.encoders, dict):
            return params
        for name, part in self.encoders.items():
            if hasattr(part, "get_params") and not isinstance(part, type):
                params[name], part = part, part.get_params()
            if isinstance(part, dict):
                params |= {f"{name}__{key}": value for key, value in part.items()}
        return params

    def set_params(self, **params):
        """Set parameters of this estimator or of its parts.

        Parameters
        ----------
        **params : dict
            Of the estimator by name, of its parts for example ``wsi__hidden_dim=128`` or ``fusion__activation="relu"``;
            ``wsi=MeanMIL()`` replaces a part. Modalities that are inferred from X are set in the same way; whether
            X has them turns out in `fit`.

        Returns
        -------
        self : estimator instance
            This estimator.
        """
        own = self.get_params(deep=False)
        _refuse_names({name: part for name, part in params.items() if name not in own}, self)
        super().set_params(**{name: params.pop(name) for name in list(params) if name in own})
        for name, default in self.default_parts.items():
            if getattr(self, name) is None and any(key.startswith(f"{name}__") for key in params):
                setattr(self, name, default())
        if self.modalities is None:
            for key in sorted(params, key=lambda key: "__" in key):  # parts before their parameters
                name, _, parameter = key.partition("__")
                if name not in own and (parameter or hasattr(params[key], "get_params")):
                    self._set_part(name, parameter, params.pop(key))
        return super().set_params(**params)

    def _set_part(self, name, parameter, value):
        part = (self.encoders or {}).get(name, {})
        if not parameter:
            part = value
        elif hasattr(part, "set_params"):
            part.set_params(**{parameter: value})
        else:
            part = {**part, parameter: value}
        self.encoders = {**(self.encoders or {}), name: part}


def _refuse_names(parts, estimator):
    """Refuse the name of a class where a part is to be set."""
    for name, part in parts.items():
        if "__" not in name and isinstance(part, str) and part.isidentifier() and part[0].isupper():
            raise ValueError(
                f"{name!r} is no parameter of {type(estimator).__name__}, and as the part of a modality {part!r} is "
                f"only a name. Write {name}={part}()."
            )
