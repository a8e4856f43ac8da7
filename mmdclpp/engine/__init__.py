"""Hooks."""

from .progress_hook import ProgressHook

__all__ = ['ProgressHook']
