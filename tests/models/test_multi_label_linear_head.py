import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmpretrain.structures import DataSample
from torch.nn import functional as F

from mmdclpp.errors import UserError
from mmdclpp.registry import MODELS


def build_head(**kwargs):
    torch.manual_seed(0)
    head = MODELS.build(dict(type='MultiLabelLinearHead', num_classes=4, in_channels=6, **kwargs))
    head.init_weights()
    return head


def samples(targets):
    return [DataSample().set_gt_score(target) for target in targets]


FEATURE = torch.randn(5, 6, generator=torch.manual_seed(1))
TARGET = torch.randint(0, 2, (5, 4), generator=torch.manual_seed(2))
PARTLY = torch.where(torch.rand(5, 4, generator=torch.manual_seed(3)) < 0.4, torch.tensor(-1), TARGET)


def test_the_loss_is_the_mean_over_images_and_classes():
    head = build_head(batch_norm=False)
    expected = F.binary_cross_entropy_with_logits(head.fc(FEATURE), TARGET.float())
    torch.testing.assert_close(head.loss((FEATURE,), samples(TARGET))['loss'], expected)


def test_ignored_entries_leave_the_loss_and_its_mean():
    head = build_head(batch_norm=False)
    kept = PARTLY >= 0
    expected = F.binary_cross_entropy_with_logits(head.fc(FEATURE)[kept], PARTLY[kept].float())
    torch.testing.assert_close(head.loss((FEATURE,), samples(PARTLY))['loss'], expected)


def test_a_batch_with_every_entry_ignored_has_loss_and_gradient_zero():
    head = build_head()
    head.loss((FEATURE,), samples(torch.full((5, 4), -1)))['loss'].backward()
    assert all((parameter.grad == 0).all() for parameter in head.parameters())


def test_label_indices_are_targets_too():
    head = build_head(batch_norm=False)
    indices = [DataSample().set_gt_label(target.nonzero().flatten()) for target in TARGET]
    torch.testing.assert_close(head.loss((FEATURE,), indices), head.loss((FEATURE,), samples(TARGET)))


def test_targets_of_another_number_of_classes_are_refused():
    with pytest.raises(UserError, match='num_classes=4, but the data set has 7 classes'):
        build_head().loss((FEATURE,), samples(torch.zeros(5, 7)))


def test_batch_norm_makes_the_scores_independent_of_scale_and_shift():
    head = build_head(batch_norm=True)
    torch.testing.assert_close(head((1000 * FEATURE - 3,)), head((FEATURE,)), rtol=1e-4, atol=1e-5)


def test_predictions_are_sigmoid_scores():
    head = build_head().eval()
    predictions = head.predict((FEATURE,), samples(TARGET))
    scores = torch.stack([prediction.pred_score for prediction in predictions])
    torch.testing.assert_close(scores, torch.sigmoid(head((FEATURE,))))


def test_scores_stay_distinct_under_autocast():
    """In bfloat16, which has 8 bits, these logits would be equal."""
    head = build_head(batch_norm=False)
    feature = torch.stack([FEATURE[0], FEATURE[0] * 1.0001])
    with torch.autocast('cpu', dtype=torch.bfloat16):
        logits = head((feature,))
    assert logits.dtype == torch.float32
    assert (logits[0] != logits[1]).all()


def _gradient(rank, world_size, folder):
    """The averaged gradient that DDP gives, of a batch of which each rank has every second image."""
    dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=world_size)
    head = build_head(batch_norm=False)
    head.loss((FEATURE[rank::world_size],), samples(PARTLY[rank::world_size]))['loss'].backward()
    dist.all_reduce(head.fc.weight.grad)
    torch.save(head.fc.weight.grad / world_size, f'{folder}/{rank}.pt')
    dist.destroy_process_group()


def test_two_processes_with_unequal_shares_equal_one(tmp_path):
    """Three images against two, with different numbers of ignored entries."""
    mp.spawn(_gradient, args=(2, str(tmp_path)), nprocs=2)
    head = build_head(batch_norm=False)
    head.loss((FEATURE,), samples(PARTLY))['loss'].backward()
    for rank in range(2):
        torch.testing.assert_close(torch.load(tmp_path / f'{rank}.pt'), head.fc.weight.grad)
