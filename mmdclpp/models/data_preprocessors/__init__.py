"""From the batches of a data loader to the input of models."""

from .view_data_preprocessor import ViewDataPreprocessor

__all__ = ['ViewDataPreprocessor']
