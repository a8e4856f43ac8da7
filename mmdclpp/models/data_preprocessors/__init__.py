"""From the batches of a data loader to the input of models."""

from .view_data_preprocessor import ViewDataPreprocessor, require_finishing

__all__ = ['ViewDataPreprocessor', 'require_finishing']
