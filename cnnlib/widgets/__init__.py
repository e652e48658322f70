"""The book's interactives: anywidgets that run on the page, in Jupyter and in Colab alike.

Nothing here needs a kernel once it is displayed: all that an interactive computes for its reader is
plain JavaScript in the page (``conv_stepper.js``, ``chart.js``, ``network.js`` ...).
"""

from cnnlib.widgets.activation_explorer import ActivationExplorer
from cnnlib.widgets.base import Widget
from cnnlib.widgets.conv_stepper import ConvStepper
from cnnlib.widgets.digit_pad import DigitPad
from cnnlib.widgets.field_calculator import FieldCalculator
from cnnlib.widgets.inception_bench import InceptionBench
from cnnlib.widgets.inside_browser import InsideBrowser
from cnnlib.widgets.order_comparer import OrderComparer
from cnnlib.widgets.residual_paths import ResidualPaths
from cnnlib.widgets.run_curves import RunCurves
from cnnlib.widgets.top_k import TopK

__all__ = [
    "ActivationExplorer",
    "ConvStepper",
    "DigitPad",
    "FieldCalculator",
    "InceptionBench",
    "InsideBrowser",
    "OrderComparer",
    "ResidualPaths",
    "RunCurves",
    "TopK",
    "Widget",
]
