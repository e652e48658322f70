"""The book's interactives: anywidgets that run on the page, in Jupyter and in Colab alike.

Nothing here needs a kernel once it is displayed: all that an interactive computes for its reader is
plain JavaScript in the page (``conv_stepper.js``, ``digit_pad.js``, ``network.js``).
"""

from cnnlib.widgets.base import Widget
from cnnlib.widgets.conv_stepper import ConvStepper
from cnnlib.widgets.digit_pad import DigitPad

__all__ = ["ConvStepper", "DigitPad", "Widget"]
