'use strict';
(function () {
  var root = document.documentElement;
  var data = JSON.parse(document.getElementById('data').textContent) || [];
  var charts = [];

  function color(name) { return getComputedStyle(root).getPropertyValue('--' + name).trim(); }

  function short(v) {
    var units = ['', 'k', 'M', 'G', 'T'], i = 0;
    while (Math.abs(v) >= 1000 && i < units.length - 1) { v /= 1000; i++; }
    return String(Number(v.toPrecision(4))) + units[i];
  }

  function grouped(v) {
    var digits = v === 0 || v >= 10 ? 0 : 2;
    return v.toFixed(digits).replace(/\B(?=(\d{3})+(?!\d))/g, ',');
  }

  // One box shows what the pointer is at, for live charts and drawings.
  var tip = document.createElement('div');
  tip.id = 'tip';
  tip.setAttribute('role', 'status');
  document.body.appendChild(tip);

  function show(lines, x, y) {
    tip.textContent = lines.join('\n');
    tip.classList.add('on');
    var w = tip.offsetWidth, h = tip.offsetHeight;
    tip.style.left = Math.max(4, Math.min(x + 14, window.innerWidth - w - 8)) + 'px';
    tip.style.top = Math.max(4, y + 16 + h > window.innerHeight ? y - h - 10 : y + 16) + 'px';
  }
  function hide() { tip.classList.remove('on'); }

  function followPointer() {
    document.addEventListener('pointermove', function (e) {
      var bar = e.target.closest && e.target.closest('.bar, .mark');
      if (bar) { show([bar.dataset.tip], e.clientX, e.clientY); return; }
      if (!e.target.closest || !e.target.closest('.uplot')) { hide(); }
    });
    document.querySelectorAll('.bar, .mark').forEach(function (b) {
      var title = b.querySelector('title');
      b.dataset.tip = title.textContent;
      b.setAttribute('aria-label', title.textContent);
      title.remove();
    });
  }

  // describe tells of the interval under the pointer.
  function describe(d, u, e) {
    var t = u.posToVal(e.clientX - u.over.getBoundingClientRect().left, 'x');
    var i = 1;
    while (i < d.t.length - 1 && d.t[i] < t) { i++; }
    var lines = [d.t[i - 1].toFixed(2) + ' – ' + d.t[i].toFixed(2) + ' s', d.label + ': ' + grouped(d.y[i - 1]) + ' /s'];
    if (d.tips) { lines.push(d.tips[i - 1]); }
    (d.marks || []).forEach(function (m) {
      if (m > d.t[i - 1] && m <= d.t[i]) { lines.push('kernel log line at ' + m.toFixed(3) + ' s'); }
    });
    show(lines, e.clientX, e.clientY);
  }

  function marks(d) {
    return function (u) {
      if (!d.marks) { return; }
      var c = u.ctx;
      c.save();
      c.strokeStyle = color('kernel');
      c.lineWidth = devicePixelRatio;
      c.setLineDash([2 * devicePixelRatio, 2 * devicePixelRatio]);
      d.marks.forEach(function (t) {
        if (t < u.scales.x.min || t > u.scales.x.max) { return; }
        var x = Math.round(u.valToPos(t, 'x', true));
        c.beginPath();
        c.moveTo(x, u.bbox.top);
        c.lineTo(x, u.bbox.top + u.bbox.height);
        c.stroke();
      });
      c.restore();
    };
  }

  function axis(more) {
    return Object.assign({
      stroke: function () { return color('soft'); },
      font: '11px ' + getComputedStyle(document.body).fontFamily,
      grid: { stroke: function () { return color('line'); }, width: 1 },
      ticks: { stroke: function () { return color('line'); }, width: 1, size: 4 }
    }, more);
  }

  function draw(figure, svg, box) {
    var d = data[Number(figure.dataset.chart) - 1];
    var height = Math.max(104, Math.round(box.height));
    var columns = [d.t, [d.y[0]].concat(d.y)];
    var holder = document.createElement('div');
    holder.className = 'chart';
    figure.insertBefore(holder, svg);
    figure.classList.add('live');
    var u = new uPlot({
      width: Math.round(box.width),
      height: height,
      padding: [8, 20, 0, 0],
      legend: { show: false },
      cursor: { sync: { key: d.group, setSeries: false }, y: false, drag: { x: true, y: false }, points: { size: 6 } },
      scales: {
        x: { time: false },
        y: { range: function (u, min, max) { return [0, max > 0 ? max * 1.06 : 1]; } }
      },
      axes: [
        axis({ size: 26, gap: 3, values: function (u, v) { return v.map(function (s) { return Number(s.toPrecision(8)) + ' s'; }); } }),
        axis({ size: 48, gap: 4, space: 28, values: function (u, v) { return v.map(short); } })
      ],
      series: [{}, {
        stroke: function () { return color(d.class); },
        fill: function () { return color(d.class) + '1c'; },
        width: 1.5,
        points: { show: false },
        paths: uPlot.paths.stepped({ align: -1 })
      }],
      hooks: {
        drawClear: [marks(d)],
        ready: [function (u) {
          u.over.addEventListener('pointermove', function (e) { describe(d, u, e); });
          u.over.addEventListener('pointerleave', hide);
        }],
        draw: [function () { figure.dataset.drawn = '1'; }]
      }
    }, columns, holder);
    charts.push({ u: u, holder: holder, height: height });
    if (d.tips) {
      var hint = document.createElement('small');
      hint.className = 'hint';
      hint.textContent = 'drag to zoom in, double-click to zoom out';
      figure.querySelector('figcaption').appendChild(hint);
    }
  }

  function fit() {
    charts.map(function (c) { return Math.round(c.holder.getBoundingClientRect().width); }).forEach(function (w, i) {
      var c = charts[i];
      if (w > 0 && w !== c.u.width) { c.u.setSize({ width: w, height: c.height }); }
    });
  }

  function copyButton() {
    var pre = document.getElementById('command');
    if (!pre) { return; }
    var b = document.createElement('button');
    b.type = 'button';
    b.textContent = 'Copy';
    function told(text) {
      b.textContent = text;
      setTimeout(function () { b.textContent = 'Copy'; }, 1500);
    }
    function byHand() {
      getSelection().selectAllChildren(pre);
      told(document.execCommand('copy') ? 'Copied' : 'Selected');
    }
    b.addEventListener('click', function () {
      if (navigator.clipboard) {
        navigator.clipboard.writeText(pre.textContent).then(function () { told('Copied'); }, byHand);
      } else {
        byHand();
      }
    });
    pre.parentNode.appendChild(b);
  }

  followPointer();
  copyButton();
  var figures = document.querySelectorAll('figure[data-chart]');
  // Measured before the first is drawn, so that the page is laid out once.
  Array.prototype.map.call(figures, function (f) {
    var svg = f.querySelector('svg');
    return [f, svg, svg.getBoundingClientRect()];
  }).forEach(function (m) { draw(m[0], m[1], m[2]); });
  var waiting = 0;
  window.addEventListener('resize', function () { clearTimeout(waiting); waiting = setTimeout(fit, 80); });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', function () {
    charts.forEach(function (c) { c.u.redraw(false, true); });
  });
  // uPlot draws in a microtask; the next task sees what was drawn.
  root.dataset.chartsWanted = String(figures.length);
  setTimeout(function () {
    root.dataset.charts = String(document.querySelectorAll('figure[data-drawn]').length);
  }, 0);
})();
