"""How large a study is: what it trains, on which data, and how that is evaluated."""

from typing import Any, Dict, NamedTuple, Optional, Tuple


class Budget(NamedTuple):
    """A size of studies.

    Attributes:
        name (str): What the user calls it.
        config (str): The shipped config of DenseCL++ that every setting inherits from.
        trained_on (str): What that trains, in words.
        num_positions (int): ``K``, positions of a view.
        cross_view (Tuple[int, ...]): The values of ``N``; the third is DenseCL++*'s.
        decoders (Dict[str, dict]): Name of each decoder to its config.
        suite (str): Of :func:`mmdclpp.apis.evaluate`.
        classification (Tuple[str, ...]): Its tasks for every study.
        segmentation (Tuple[str, ...]): And those for studies of segmentation.
        segmentation_options (Tuple[str, ...]): Further arguments of ``tools/evaluate.py`` for these.
        images (str): Folder of images, below the data root, for similarities; most of them are not trained on.
        headline (str): The evaluation whose mAP the study is about.
        max_epochs (int, optional): Epochs, None for the config's.
        num_images (int, optional): Images an epoch, the first of the data set. None for all.
        built_in (bool): Whether the data are the built-in scenes, which are generated.
        reduced_sets (Tuple[str, ...]): Folders below the data root, where these are not published data sets.
        num_workers (int): Data workers of a process in evaluations.
        gpus (int): Processes of a run, unless chosen.
        seconds (float, optional): Measured for one run with classification on one core of a CPU. None: not measured.
    """

    name: str
    config: str
    trained_on: str
    num_positions: int
    cross_view: Tuple[int, ...]
    decoders: Dict[str, Dict[str, Any]]
    suite: str
    classification: Tuple[str, ...]
    segmentation: Tuple[str, ...]
    images: str
    headline: str
    max_epochs: Optional[int] = None
    num_images: Optional[int] = None
    built_in: bool = False
    segmentation_options: Tuple[str, ...] = ()
    reduced_sets: Tuple[str, ...] = ()
    num_workers: int = 1
    gpus: int = 1
    seconds: Optional[float] = None


# In proportion to the demo's ViT, with its patches of 8 px.
_SMALL_DECODERS = dict(
    conv=dict(type='ConvDecoder', widths=[64, 32, 16]),
    transformer=dict(type='TransformerDecoder', embed_dims=128, depth=1, num_heads=4, patch_size=8),
)
# N on smaller grids is the share of the positions that the paper's budget has, of 196: 8, 33 and 65 %.
BUDGETS = {
    budget.name: budget
    for budget in (
        Budget(
            'tiny',
            'densecl_pp/vit-demo_scenes.py',
            "the demo's ViT (0.8 M parameters, 48 px views) on 2,000 built-in scenes",
            num_positions=36,
            cross_view=(0, 3, 12, 24),
            decoders=_SMALL_DECODERS,
            suite='quick',
            classification=('scenes-linear',),
            segmentation=('scenes-seg',),
            images='scenes/images/val',
            headline='scenes-linear',
            max_epochs=2,
            num_images=2000,
            built_in=True,
            # 200 iterations at 64 px, as in the demo: 500 at 96 px would take longer than all the rest.
            segmentation_options=(
                '--segmentation-size',
                '64',
                '--cfg-options',
                'train_cfg.max_iters=200',
                'param_scheduler.0.end=200',
            ),
            seconds=67,
        ),
        Budget(
            'small',
            'densecl_pp/vit-mini_photos.py',
            "the demo's ViT (0.8 M parameters, 48 px views) on 5,763 photographs of COCO and VOC2007",
            num_positions=36,
            cross_view=(0, 3, 12, 24),
            decoders=_SMALL_DECODERS,
            suite='quick',
            classification=('coco-linear', 'voc-linear'),
            segmentation=('voc-seg',),
            images='voc_seg/JPEGImages',
            headline='coco-linear',
            reduced_sets=('coco_mini', 'voc2007', 'voc_seg'),
            seconds=500,
        ),
        Budget(
            'paper',
            'densecl_pp/vit-s16_coco.py',
            'ViT-S/16 (224 px views) on the 118,287 training images of COCO 2017',
            num_positions=196,
            cross_view=(0, 16, 64, 128),  # ours, around the poster's 64
            decoders=dict(conv=dict(type='ConvDecoder'), transformer=dict(type='TransformerDecoder')),
            suite='paper',
            classification=('coco-linear',),
            segmentation=('voc-seg', 'coco-seg'),
            images='coco/val2017',
            headline='coco-linear@augmented',
            num_workers=8,
            gpus=8,
        ),
    )
}
