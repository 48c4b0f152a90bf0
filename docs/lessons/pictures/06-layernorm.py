"""Layer normalisation: three ways from x to xhat. The example's second row, its channels one under the other."""


def describe(picture, page):
    x, xhat, dxhat, rstd, dout, w = (array[1] if array.ndim > 1 else array
                                     for array in (page.x, page.xhat, page.dxhat, page.rstd, page.dout, page.w))
    dstd = -(dxhat * xhat).sum() * rstd                      # x̂ = centred / std
    by_std = dstd * xhat / 4
    dcentred = dxhat * rstd + by_std
    dmean = -dcentred.sum()                                  # centred = x − mean

    def column(array):
        return array[:, None]

    x_wire = picture.value("x", column(x), column(page.dx[1]))
    mean = picture.box("mean", (x_wire, column(dmean / 4 + 0 * x)), row=1).gives(x.mean(), dmean)
    centred = picture.box("x − mean", (x_wire, column(dcentred)), mean, row=0)
    centred = centred.gives(column(x - x.mean()), column(dcentred))
    std = picture.box("deviation", (centred, column(by_std)), row=1).gives(x.std(), dstd)
    normed = picture.box("/ deviation", (centred, column(dxhat * rstd)), std, row=0).gives(column(xhat), column(dxhat))
    weights = picture.value("w", column(w), column(dout * xhat), row=1)
    out = picture.box("w x̂ + b", normed, weights, row=0).gives(column(page.out[1]), column(dout))
    picture.value("out", out)
    picture.note("Three ways from x: straight on, by the mean, by the deviation. dx is the sum of what comes back.")
    picture.note("The second row of the example, its four channels one under the other; of dw, this row's part.")
