// Runs before the page is drawn, so that who has chosen light or dark sees no flash
// of the other. Without a choice the system's is taken.
try {
  const theme = localStorage.getItem('tocsin.theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // Storage can be forbidden: the system's choice, then.
}
