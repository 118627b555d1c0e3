"""Parameters of estimators that hold one part per modality."""

from sklearn.utils.metaestimators import _BaseComposition


class ModalityComposition(_BaseComposition):
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
        self._set_params("_parts", **params)
        return self
