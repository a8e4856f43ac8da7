"""Views of an image, and where in it each lies."""

import copy

from mmpretrain.datasets.transforms import MultiView

from mmdclpp.registry import TRANSFORMS


@TRANSFORMS.register_module()
class MultiViewWithGeometry(MultiView):
    """``MultiView`` with the same arguments, draws and pixels, which keeps where in the image each view lies.

    Adds, for ``PackInputs(meta_keys=...)``, if every view was cropped by :class:`RandomResizedCropWithBox` and none
    flipped otherwise than left to right:

    - ``view_boxes``: for each view its ``crop_box``, ``(x0, y0, x1, y1)`` in shares of width and height
    - ``view_flips``: for each view whether it was then mirrored left to right
    """

    def transform(self, results: dict) -> dict:
        """Make the views of a sample."""
        views = [transform(copy.deepcopy(results)) for transform in self.transforms]
        results['img'] = [view['img'] for view in views]
        flips = [view.get('flip_direction') if view.get('flip') else None for view in views]
        if all('crop_box' in view for view in views) and set(flips) <= {None, 'horizontal'}:
            results['view_boxes'] = [view['crop_box'] for view in views]
            results['view_flips'] = [flip is not None for flip in flips]
        return results
