package report

import (
	"io"

	"diostress/internal/verdict"
	"diostress/report/page"
)

func writeHTML(w io.Writer, r *verdict.Result) error { return page.Render(w, r) }
