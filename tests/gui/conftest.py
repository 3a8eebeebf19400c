from __future__ import annotations

import numpy as np
import pytest

from napari_octa_sam2.layers import volume_layers
from napari_octa_sam2.volume.phantom import PhantomConfig, make_phantom


@pytest.fixture(scope="session")
def phantom():
    """A phantom with few slices, to be followed through in seconds."""
    return make_phantom(PhantomConfig(seed=4, depth=12))


@pytest.fixture
def viewer(make_napari_viewer, phantom):
    """A real, shown viewer with the phantom's image; its true labels are not added."""
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1200, 900)
    (image, *_) = volume_layers(phantom.volume)
    viewer.add_image(image[0], **image[1])
    return viewer


@pytest.fixture
def widget(viewer):
    _, widget = viewer.window.add_plugin_dock_widget("napari-octa-sam2", "Segment")
    yield widget
    widget.close()


@pytest.fixture
def target(phantom):
    """``(slice, row, col, mask)``: middle of the largest vessel on its best slice."""
    labels = phantom.volume.labels["objects"].data
    faz = max(phantom.volume.labels["objects"].classes)
    areas = {
        (int(i), z): int((labels[z] == i).sum())
        for z in range(2, len(labels) - 2)
        for i in np.unique(labels[z])
        if i and i != faz
    }
    object_id, index = max(areas, key=areas.get)
    mask = labels[index] == object_id
    from scipy.ndimage import distance_transform_edt

    inside = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    row, col = np.unravel_index(inside.argmax(), mask.shape)
    return index, int(row), int(col), mask


@pytest.fixture
def notices():
    """Messages that the user was shown, as they come."""
    from napari.utils.notifications import notification_manager

    messages: list[str] = []

    def keep(notification):
        messages.append(notification.message)

    notification_manager.notification_ready.connect(keep)
    yield messages
    notification_manager.notification_ready.disconnect(keep)
