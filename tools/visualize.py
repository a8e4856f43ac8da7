"""See what pretrained models make of images: matches, features, attention, neighbours; as PNG and HTML."""

import argparse

from mmdclpp.apis._cli import add_trust, run_tool


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='See what pretrained models make of images (see docs/visualization.md).',
        epilog='Several models are shown side by side.',
    )
    parser.add_argument(
        'models',
        nargs='*',
        metavar='CHECKPOINT',
        help="checkpoint file, or 'random' (random:SEED): random weights in the architecture of the first checkpoint; "
        'behind the checkpoints, images may stand too',
    )
    parser.add_argument(
        '--images',
        nargs='+',
        default=[],
        metavar='IMAGE_OR_FOLDER',
        help='images, folders, or text files with one path a line',
    )
    parser.add_argument(
        '--show',
        nargs='+',
        choices=['matches', 'pca', 'kmeans', 'attention', 'embedding', 'neighbours'],
        help='only these (default: all that the models and images allow)',
    )
    parser.add_argument('--out-dir', '--out', help='where files go (default: work_dirs/visualizations/ and the names)')
    parser.add_argument('--size', type=int, help='input of dense features, in px (default: twice that of pretraining)')
    parser.add_argument(
        '--pairs',
        choices=['views', 'images'],
        help='match two views of each image, or the first image with the second, the third with the fourth '
        '(default: views, but two images that are given alone with each other)',
    )
    parser.add_argument(
        '--num-images', type=int, default=300, help='for the map of images and as neighbours, at most (default: 300)'
    )
    parser.add_argument('--num-shown', type=int, default=6, help='of them, in all other pictures (default: 6)')
    parser.add_argument('--num-clusters', type=int, default=6, help='of k-means, 2 to 18 (default: 6)')
    parser.add_argument('--num-neighbours', type=int, default=5, help='neighbours an image (default: 5)')
    parser.add_argument(
        '--embedding', choices=['tsne', 'umap'], default='tsne', help='how the map of images is made (default: tsne)'
    )
    parser.add_argument('--seed', type=int, default=0, help='of images, views, clusters and maps (default: 0)')
    parser.add_argument('--names', nargs='+', help='what to call the models, one each')
    parser.add_argument('--backbone', metavar='timm:NAME', help="or mmpretrain:NAME: others' models")
    parser.add_argument('--config', help='config with model.backbone, for checkpoints that hold none')
    add_trust(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmdclpp.apis import visualize
    from mmdclpp.apis.visualizing.images import is_images

    models = [name for name in args.models if not is_images(name)]
    images = [name for name in args.models if is_images(name)]
    visualize(**{**vars(args), 'models': models, 'images': images + args.images})


if __name__ == '__main__':
    run_tool(main)
