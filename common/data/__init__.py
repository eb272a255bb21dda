"""Datasets: fetching, checking and reading them; what one module alone needs is in it."""

IMAGE_FOLDER, OLD_NAME = "image_folder", "images"  # what --dataset calls folders of classes


def dataset_name(text: str) -> str:
    """A dataset's name, image_folder for the name that it had before."""
    return IMAGE_FOLDER if text == OLD_NAME else text
