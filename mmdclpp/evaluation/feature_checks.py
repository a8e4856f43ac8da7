"""What has to hold of features before anything is learnt from them."""

from torch import Tensor

from mmdclpp.errors import UserError


def check_features(train_features: Tensor, train_targets: Tensor, features: Tensor) -> None:
    """Raise a UserError unless all are finite, of one width, and there is a target for each training image.

    Args:
        train_features (Tensor): Shape ``(N, D)``.
        train_targets (Tensor): Shape ``(N, C)``.
        features (Tensor): Of the images to score, shape ``(M, D)``.
    """
    if len(train_features) != len(train_targets) or train_features.shape[1] != features.shape[1]:
        raise UserError(
            f'train features {tuple(train_features.shape)}, train targets {tuple(train_targets.shape)} and test '
            f'features {tuple(features.shape)} do not fit: extract all with one backbone from the same data'
        )
    for split, rows in (('train', train_features), ('test', features)):
        broken = int((~rows.isfinite()).any(dim=1).sum())
        if broken:
            raise UserError(
                f'{broken} of {len(rows)} {split} images have features that are NaN or infinite: the backbone has '
                'probably diverged; evaluate an earlier checkpoint'
            )
