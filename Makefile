# The one place that sets the linker flag giouring needs (docs/decisions/001-giouring.md).
export GOFLAGS := -ldflags=-checklinkname=0
