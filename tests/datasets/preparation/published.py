"""Small archives in the inner layout of the official ones."""

import io
import json
import tarfile
import zipfile
from typing import Dict, Mapping

import numpy as np
from PIL import Image
from scipy.io import savemat

SIZE = (40, 60)  # height, width
NUM_COCO = dict(train=3, val=2)
# Two of each list are in another one: SBD's train has an image of VOC's train, its val one of VOC's val.
VOC2012 = dict(train=['2007_000032', '2007_000039'], val=['2007_000033'])
SBD = dict(train=['2007_000032', '2008_000002'], val=['2007_000033', '2008_000003'])
VOC2007 = dict(trainval=['000005', '000007'], test=['000001'])


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip of the files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(files: Mapping[str, bytes], mode: str = 'w') -> bytes:
    """A tar of the files; ``'w:gz'`` makes a tgz."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def encoded(pixels: np.ndarray, kind: str) -> bytes:
    """An image file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def photograph(seed: int) -> bytes:
    """A JPEG of noise."""
    return encoded(np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), dtype=np.uint8), 'jpeg')


def mask(*values: int) -> np.ndarray:
    """Stripes of the values, uint8."""
    return np.repeat(np.array(values, np.uint8), SIZE[1] // len(values))[None].repeat(SIZE[0], axis=0)


def instances(split: str) -> dict:
    """COCO-style annotations: on each image a square of category 90, in it a smaller one of category 1, and a crowd."""
    height, width = SIZE
    ids = [100 * (split == 'val') + index for index in range(NUM_COCO[split])]
    square = [10, 10, 30, 10, 30, 30, 10, 30]
    small = [15, 15, 20, 15, 20, 20, 15, 20]
    crowd = dict(size=[height, width], counts=[(width - 4) * height, 4 * height])
    annotations = [
        dict(image_id=i, category_id=category, segmentation=segmentation, bbox=bbox, area=area, iscrowd=iscrowd)
        for i in ids
        for category, segmentation, bbox, area, iscrowd in (
            (1, [small], [15, 15, 5, 5], 25, 0),
            (90, [square], [10, 10, 20, 20], 400, 0),
            (3, crowd, [width - 4, 0, 4, height], 4 * height, 1),
        )
    ]
    return dict(
        images=[dict(id=i, file_name=f'{i:012d}.jpg', height=height, width=width) for i in ids],
        annotations=[dict(id=number, **annotation) for number, annotation in enumerate(annotations)],
        categories=[dict(id=1, name='person'), dict(id=3, name='car'), dict(id=90, name='toothbrush')],
    )


def coco() -> Dict[str, bytes]:
    """COCO's four archives by file name."""
    content = {split: instances(split) for split in NUM_COCO}
    stems = {split: [image['file_name'][:-4] for image in content[split]['images']] for split in content}
    archives = {
        f'{split}2017.zip': zipped(
            {f'{split}2017/': b'', **{f'{split}2017/{stem}.jpg': photograph(int(stem)) for stem in stems[split]}}
        )
        for split in stems
    }
    archives['annotations_trainval2017.zip'] = zipped(
        {
            f'annotations/{kind}_{split}2017.json': json.dumps(content[split]).encode()
            for split in content
            for kind in ('captions', 'instances')
        }
    )
    archives['stuffthingmaps_trainval2017.zip'] = zipped(
        {f'{split}2017/{stem}.png': encoded(mask(0, 12, 181, 255), 'png') for split in stems for stem in stems[split]}
    )
    return archives


_XML = """<annotation>
<filename>{name}.jpg</filename>
<size><width>60</width><height>40</height><depth>3</depth></size>
<object><name>tvmonitor</name><difficult>0</difficult>
<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>60</xmax><ymax>11</ymax></bndbox>
<part><name>head</name><bndbox><xmin>5</xmin><ymin>5</ymin><xmax>6</xmax><ymax>6</ymax></bndbox></part></object>
<object><name>aeroplane</name><difficult>1</difficult>
<bndbox><xmin>7</xmin><ymin>8</ymin><xmax>7</xmax><ymax>8</ymax></bndbox></object>
</annotation>"""


def voc() -> Dict[str, bytes]:
    """VOC's three archives and SBD's by file name."""
    archives = {}
    for (split, names), file in zip(VOC2007.items(), ('VOCtrainval_06-Nov-2007.tar', 'VOCtest_06-Nov-2007.tar')):
        archives[file] = tarred(
            {
                f'VOCdevkit/VOC2007/ImageSets/Main/{split}.txt': '\n'.join(names).encode(),
                **{f'VOCdevkit/VOC2007/JPEGImages/{name}.jpg': photograph(int(name)) for name in names},
                **{f'VOCdevkit/VOC2007/Annotations/{name}.xml': _XML.format(name=name).encode() for name in names},
            }
        )
    own = {name for names in VOC2012.values() for name in names}
    everything = sorted(own.union(*SBD.values()))
    archives['VOCtrainval_11-May-2012.tar'] = tarred(
        {
            **{f'VOCdevkit/VOC2012/JPEGImages/{name}.jpg': photograph(int(name[-3:])) for name in everything},
            **{f'VOCdevkit/VOC2012/SegmentationClass/{name}.png': encoded(mask(0, 20, 255), 'png') for name in own},
            **{
                f'VOCdevkit/VOC2012/ImageSets/Segmentation/{split}.txt': ('\n'.join(names) + '\n').encode()
                for split, names in VOC2012.items()
            },
        }
    )
    dataset = {f'{split}.txt': '\n'.join(names).encode() for split, names in SBD.items()}
    for name in sorted({name for names in SBD.values() for name in names}):
        buffer = io.BytesIO()
        savemat(buffer, dict(GTcls=dict(Segmentation=mask(0, 3, 20), CategoriesPresent=[3, 20])))
        dataset[f'cls/{name}.mat'] = buffer.getvalue()
        dataset[f'img/{name}.jpg'] = b'the image of VOC, again'
    archives['benchmark.tgz'] = tarred(
        {'benchmark_RELEASE/README': b'', **{f'benchmark_RELEASE/dataset/{k}': v for k, v in dataset.items()}}, 'w:gz'
    )
    return archives
