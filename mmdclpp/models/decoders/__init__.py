from .conv_decoder import ConvDecoder
from .decoder import Decoder
from .transformer_decoder import TransformerDecoder

__all__ = ['ConvDecoder', 'Decoder', 'TransformerDecoder']
