"""The one way to make picture files: matplotlib, without a window or a global state.

    colors      PALETTE, palette_color, web_color: the same colours in every picture and page
    figure      new_figure, pixel_figure, save_png, save_gif, png_bytes, pixels, read_png; every
                text of a figure can be drawn: DejaVu, an installed font, or `?`
    line_chart  Curve, line_chart: lines with bands, axes titled, legend off the data
    sheet       Tile, sheet: images in a grid with captions and titles

`colors` is light; the others import matplotlib and are imported late by programs that answer fast.
"""
