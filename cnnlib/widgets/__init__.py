"""The book's interactives: anywidgets that run on the page, in Jupyter and in Colab alike.

Nothing here needs a kernel once it is displayed: all that an interactive computes for its reader is
plain JavaScript in the page (``conv_stepper.js``, ``chart.js``, ``network.js`` ...).
"""

from cnnlib.widgets.activation_explorer import ActivationExplorer
from cnnlib.widgets.base import Widget
from cnnlib.widgets.cell_editor import CellEditor
from cnnlib.widgets.compression_pipeline import CompressionPipeline
from cnnlib.widgets.conv_stepper import ConvStepper
from cnnlib.widgets.convolution_costs import ConvolutionCosts
from cnnlib.widgets.dense_connections import DenseConnections
from cnnlib.widgets.digit_pad import DigitPad
from cnnlib.widgets.excitation_browser import ExcitationBrowser
from cnnlib.widgets.field_calculator import FieldCalculator
from cnnlib.widgets.inception_bench import InceptionBench
from cnnlib.widgets.inside_browser import InsideBrowser
from cnnlib.widgets.network_map import NetworkMap
from cnnlib.widgets.order_comparer import OrderComparer
from cnnlib.widgets.residual_paths import ResidualPaths
from cnnlib.widgets.run_curves import RunCurves
from cnnlib.widgets.scaling_explorer import ScalingExplorer
from cnnlib.widgets.top_k import TopK

__all__ = [
    "ActivationExplorer",
    "CellEditor",
    "CompressionPipeline",
    "ConvStepper",
    "ConvolutionCosts",
    "DenseConnections",
    "DigitPad",
    "ExcitationBrowser",
    "FieldCalculator",
    "InceptionBench",
    "InsideBrowser",
    "NetworkMap",
    "OrderComparer",
    "ResidualPaths",
    "RunCurves",
    "ScalingExplorer",
    "TopK",
    "Widget",
]
