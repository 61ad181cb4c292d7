/* SPDX-License-Identifier: Apache-2.0 */
/*
 * theme.js: light or dark, before the first paint (a classic script in the head, so that a stored
 * choice doesn't flash). Without a choice the system's preference holds, by style.css.
 */
(() => {
    const root = document.documentElement;
    const dark = matchMedia('(prefers-color-scheme: dark)');
    const stored = () => {
        try {
            return localStorage.getItem('fanfare-theme');
        } catch {
            return null; /* storage may be forbidden: the choice then lasts for this visit */
        }
    };
    const current = () => root.dataset.theme || (dark.matches ? 'dark' : 'light');
    const choice = stored();
    if (choice === 'dark' || choice === 'light') {
        root.dataset.theme = choice;
    }
    const show = () => {
        const button = document.getElementById('theme');
        const other = current() === 'dark' ? 'Light' : 'Dark';
        button.textContent = other;
        button.setAttribute('aria-label', `${other} colours`);
        dispatchEvent(new Event('themechange'));
    };
    addEventListener('DOMContentLoaded', () => {
        show();
        dark.addEventListener('change', show);
        document.getElementById('theme').addEventListener('click', () => {
            root.dataset.theme = current() === 'dark' ? 'light' : 'dark';
            try {
                localStorage.setItem('fanfare-theme', root.dataset.theme);
            } catch {
                /* as above */
            }
            show();
        });
    });
})();
