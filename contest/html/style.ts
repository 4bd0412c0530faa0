// The report's style. Text has a contrast of at least 4.5 to 1 in both themes; lines also differ in weight
// and pattern, so that no colour must be recognized.

const light = `--paper:#fcfbf8;--card:#f5f3ee;--ink:#1d1f21;--soft:#5d6166;--rule:#dcd8cf;--grid:#e8e5dd;
--band:#f2efe8;--a:#1f5fa8;--b:#b3500f;--c:#7c8087;--good:#21693b;--bad:#b02318;--fill:.10;`;
const dark = `--paper:#15171a;--card:#1d2024;--ink:#e9e7e2;--soft:#a3a7ad;--rule:#363a40;--grid:#282c31;
--band:#1b1e22;--a:#7db4f0;--b:#f0a35e;--c:#8d929a;--good:#7fcb97;--bad:#ff8f84;--fill:.16;`;

export const style = `
:root{${light}color-scheme:light}
@media (prefers-color-scheme:dark){:root:not([data-theme=light]){${dark}color-scheme:dark}}
:root[data-theme=dark]{${dark}color-scheme:dark}
:root:not([data-lang=pt]) .pt,:root[data-lang=pt] .en{display:none}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.55 ui-sans-serif,system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,"DejaVu Sans",sans-serif;
font-variant-numeric:tabular-nums}
main{max-width:60rem;margin:0 auto;padding:0 1.25rem 4rem}
nav{display:flex;justify-content:space-between;align-items:center;padding:1rem 0;
border-bottom:1px solid var(--rule);font-size:.875rem}
nav b{letter-spacing:.02em}
nav div{display:flex;gap:.25rem}
button{font:inherit;color:var(--soft);background:none;border:1px solid transparent;border-radius:.4rem;
padding:.25rem .6rem;cursor:pointer;min-height:2.25rem}
button[aria-pressed=true]{color:var(--ink)}
button:hover,button:focus-visible{color:var(--ink);border-color:var(--rule)}
header{padding:3rem 0 2rem}
header .what{color:var(--soft);margin:0 0 .5rem}
h1{font-size:clamp(2.4rem,9vw,4.6rem);line-height:1.05;letter-spacing:-.03em;font-weight:650;margin:0 0 1rem}
header .verdict{font-size:1.15rem;max-width:42rem;margin:0 0 .5rem}
header p.note{max-width:none;margin:0}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.2rem,1fr));gap:1px;margin:0 0 1rem;
background:var(--rule);border:1px solid var(--rule);border-radius:.6rem;overflow:hidden}
.facts div{background:var(--paper);padding:.85rem 1rem}
.facts dt{color:var(--soft);font-size:.8125rem}
.facts dd{margin:0;font-size:1.35rem;letter-spacing:-.01em;font-weight:550}
.facts small{white-space:nowrap;font-size:.8125rem;font-weight:400;color:var(--soft)}
section{margin-top:3.25rem}
h2{font-size:1.3rem;letter-spacing:-.01em;font-weight:620;margin:0 0 .35rem}
.meta span{white-space:nowrap}
p.note{color:var(--soft);font-size:.9375rem;margin:.1rem 0 1rem;max-width:44rem}
.wide{overflow-x:auto;-webkit-overflow-scrolling:touch;margin:0 -1.25rem;padding:0 1.25rem}
table{border-collapse:collapse;width:100%;font-size:.9375rem}
th,td{padding:.45rem .75rem;text-align:right;border-bottom:1px solid var(--grid);white-space:nowrap}
th{font-weight:500;color:var(--soft);font-size:.8125rem;border-bottom-color:var(--rule)}
th:first-child,td:first-child{text-align:left;padding-left:0}
th:last-child,td:last-child{padding-right:0}
tr.total td{font-weight:600;border-bottom:0}
.good{color:var(--good)}.bad{color:var(--bad)}.soft{color:var(--soft)}
figure.chart{margin:2rem 0 0}
figcaption{display:flex;flex-wrap:wrap;justify-content:space-between;gap:.1rem 1rem;font-size:.875rem;margin-bottom:.6rem}
figcaption b{font-weight:600}
.legend{color:var(--soft)}
.legend .name{margin-right:.9rem}
.legend .name:last-child{margin-right:0}
.key{display:inline-block;width:1.25rem;height:0;border-top:2px solid;margin-right:.4rem;vertical-align:middle}
.key.a{border-color:var(--a);border-top-width:3px}.key.b{border-color:var(--b)}.key.c{border-color:var(--c);border-top-style:dotted}
.plot{position:relative;height:15rem;margin:0 0 1.6rem 3.2rem;border-bottom:1px solid var(--rule)}
.small .plot{height:8.5rem}
.plot svg{position:absolute;inset:0;width:100%;height:100%;overflow:visible}
.plot path{fill:none;vector-effect:non-scaling-stroke}
.grid{stroke:var(--grid)}
.edge{stroke:var(--rule);stroke-dasharray:2 3}
.band{fill:transparent}.band.odd{fill:var(--band)}
.line{stroke-width:1.5;stroke-linejoin:round;stroke-linecap:round}
.line.a{stroke:var(--a);stroke-width:2.25}.line.b{stroke:var(--b)}.line.c{stroke:var(--c);stroke-dasharray:.1 4;stroke-width:2}
.plot path.area.a{fill:var(--a);fill-opacity:var(--fill)}
.level{stroke:var(--bad);stroke-dasharray:6 4;stroke-width:1.25}
.tick,.phase,.limit,.reading{position:absolute;font-size:.75rem;line-height:1;color:var(--soft);white-space:nowrap}
.tick.y{right:calc(100% + .5rem);transform:translateY(-50%);white-space:pre}
.tick.x{top:calc(100% + .45rem);transform:translateX(-50%)}
.phase{top:.35rem;padding-left:.4rem;color:var(--soft)}
.limit{right:.25rem;color:var(--bad);transform:translateY(calc(-100% - .2rem))}
.limit.under{transform:translateY(.3rem)}
.cursor{position:absolute;top:0;bottom:0;width:1px;background:var(--soft);display:none;pointer-events:none}
.reading{bottom:100%;padding:.2rem .35rem;background:var(--paper);color:var(--ink);display:none;pointer-events:none}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,22rem),1fr));gap:0 2rem}
ul.checks{list-style:none;margin:0;padding:0;border-top:1px solid var(--rule)}
ul.checks li{display:grid;grid-template-columns:1.4rem 1fr auto;gap:.1rem .5rem;padding:.5rem 0;
border-bottom:1px solid var(--grid);font-size:.9375rem}
ul.checks .how{color:var(--soft);text-align:right}
ul.checks li>code{grid-column:2/4;font-size:.8125rem;color:var(--soft);overflow-wrap:anywhere}
.mark.good::before{content:"✓"}.mark.bad::before{content:"✗"}
footer{margin-top:4rem;padding-top:1rem;border-top:1px solid var(--rule);color:var(--soft);font-size:.8125rem}
@media (max-width:34rem){.meta span{white-space:normal}header{padding:2rem 0 1.5rem}.plot{height:12rem;margin-left:2.6rem}
.facts{grid-template-columns:1fr 1fr}.facts dd{font-size:1.15rem}
#latency :is(th,td):is(:nth-child(3),:nth-child(4),:nth-child(6)),#services :is(th,td):is(:nth-child(4),:nth-child(6)){display:none}
th,td{padding:.45rem .5rem}ul.checks li{grid-template-columns:1.4rem 1fr}ul.checks .how{grid-column:2;text-align:left}
ul.checks li>code{grid-column:2}}
@media print{:root,:root:not([data-theme=light]),:root[data-theme=dark]{${light}color-scheme:light}nav div{display:none}
body{font-size:10.5pt}main{max-width:none;padding:0}header{padding:1rem 0}section{margin-top:1.6rem}
figure,table,.facts,ul.checks li{break-inside:avoid}h2,.meta span{white-space:nowrap}
p.note{break-after:avoid}
.plot{height:10rem}*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
`;

/** Language and theme, remembered if the browser allows it; and the values under the pointer. */
export const script = `
(()=>{const root=document.documentElement,kept=(k,v)=>{try{return v===undefined?localStorage.getItem(k):localStorage.setItem(k,v)}catch{return null}};
const titles=root.dataset;
const language=l=>{root.dataset.lang=l;root.lang=l==='pt'?'pt-BR':'en';document.title=l==='pt'?titles.titlePt:titles.titleEn;
for(const b of document.querySelectorAll('[data-set-lang]'))b.setAttribute('aria-pressed',b.dataset.setLang===l)};
language(kept('espora-lang')||(navigator.language.startsWith('pt')?'pt':'en'));
const theme=kept('espora-theme');if(theme)root.dataset.theme=theme;
addEventListener('click',({target})=>{const b=target.closest('button');if(!b)return;
if(b.dataset.setLang){language(b.dataset.setLang);kept('espora-lang',b.dataset.setLang)}
if(b.dataset.theme!==undefined){const dark=root.dataset.theme?root.dataset.theme==='dark':matchMedia('(prefers-color-scheme: dark)').matches;
root.dataset.theme=dark?'light':'dark';kept('espora-theme',root.dataset.theme)}});
for(const plot of document.querySelectorAll('.plot')){const {en,pt,y,at:places}=JSON.parse(plot.dataset.points),cursor=plot.querySelector('.cursor'),reading=plot.querySelector('.reading');
const hide=()=>{cursor.style.display=reading.style.display='none'};
plot.addEventListener('pointermove',e=>{const r=plot.getBoundingClientRect(),at=Math.min(1,Math.max(0,(e.clientX-r.left)/r.width));
let i=0;for(let k=1;k<places.length;k++)if(Math.abs(places[k]-at)<Math.abs(places[i]-at))i=k;
const left=places[i]*100,n=new Intl.NumberFormat(root.lang,{maximumSignificantDigits:3});
cursor.style.display=reading.style.display='block';cursor.style.left=left+'%';
const {x,names}=root.dataset.lang==='pt'?pt:en;
reading.textContent=x[i]+'  '+y.map((s,k)=>names[k]+' '+(s[i]===null?'–':n.format(s[i]))).join(' · ')+' '+plot.dataset.unit;
reading.style.left=left+'%';reading.style.transform='translateX(-'+left+'%)'});
plot.addEventListener('pointerleave',hide)}})();
`;
