"""Evaluate pretrained backbones; `tools/dist_evaluate.sh` does it with several processes."""

import argparse

from mmdclpp.apis._cli import add_launcher, add_trust, run_tool


def parse_args() -> argparse.Namespace:
    from mmengine.config import DictAction

    parser = argparse.ArgumentParser(
        description='Evaluate pretrained backbones: multi-label classification, k-NN, segmentation.',
        epilog='What is done already is not done again: give all your checkpoints to see them in one table.',
    )
    parser.add_argument(
        'models',
        nargs='*',
        metavar='CHECKPOINT',
        help="checkpoint file, or 'random' (random:SEED): random weights in the architecture of the first checkpoint",
    )
    parser.add_argument(
        '--suite',
        choices=['quick', 'paper', 'all'],
        default='quick',
        help="quick: on features extracted once; paper: the poster's protocols, hours on GPUs (default: quick)",
    )
    parser.add_argument(
        '--tasks',
        nargs='+',
        choices=['coco-linear', 'voc-linear', 'knn', 'voc-seg', 'coco-seg', 'scenes-linear', 'scenes-seg'],
        help='only these (default: all of the suite whose data are there)',
    )
    parser.add_argument('--data-root', default='data', help='folder of the data sets, see docs/data.md (default: data)')
    parser.add_argument('--work-dir', default='work_dirs/evaluate', help='where results go (default: %(default)s)')
    parser.add_argument('--backbone', metavar='timm:NAME', help="or mmpretrain:NAME: others' models")
    parser.add_argument('--config', help='config with model.backbone, for checkpoints that hold none')
    parser.add_argument('--names', nargs='+', help='for the tables, one a checkpoint; seeds of a method share it')
    parser.add_argument('--aggregate', choices=['cls', 'gap'], help='global feature (default: as pretrained)')
    parser.add_argument('--image-size', type=int, help='for classification, in px (default: as pretrained)')
    parser.add_argument(
        '--segmentation-size', type=int, help='crop, in px (default: twice the image size if linear, 512 if fine-tuned)'
    )
    parser.add_argument('--batch-size', type=int, default=64, help='of feature extraction, a process (default: 64)')
    parser.add_argument('--num-workers', type=int, default=4, help='data workers a process (default: 4)')
    parser.add_argument('--seed', type=int, default=0, help='seed of classifiers and heads (default: 0)')
    parser.add_argument('--rerun', action='store_true', help='do again what is done')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override keys of the configs of fine-tuning: train_dataloader.batch_size=8',
    )
    add_trust(parser)
    add_launcher(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmdclpp.apis import evaluate

    evaluate(**vars(args))


if __name__ == '__main__':
    run_tool(main)
