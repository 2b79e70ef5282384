'use strict';
// Every error is recorded in the page, so that whoever looks at the document
// can tell that it ran clean.
(function () {
  var root = document.documentElement, list = [];
  root.dataset.errors = '0';
  function record(text) {
    list.push(text);
    root.dataset.errors = String(list.length);
    root.dataset.errorText = list.slice(0, 5).join(' | ');
  }
  window.addEventListener('error', function (e) { record(e.message || 'error'); });
  window.addEventListener('unhandledrejection', function (e) { record('rejected: ' + e.reason); });
  document.addEventListener('securitypolicyviolation', function (e) {
    record('policy ' + e.effectiveDirective + ' blocked ' + (e.blockedURI || 'inline'));
  });
})();
