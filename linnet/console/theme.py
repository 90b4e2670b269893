"""How the console looks: one accent color, light and dark, and one stylesheet for all pages."""

from __future__ import annotations

from linnet.pages.palette import DARK, LIGHT

LOGO = (
    '<svg class="logo" viewBox="0 0 32 32" aria-hidden="true"><path fill="var(--accent)" d="M4 21c5 0 7-2 9-6 '
    '2-5 6-8 10-7 3 0 4 2 6 3l-3 1c0 8-5 14-12 14-3 0-5-1-7-2l-5 4z"/>'
    '<circle cx="23.6" cy="11.4" r="1.3" fill="var(--card)"/></svg>'
)

_LIGHT, _DARK = f"{LIGHT};--teal:#00788a;--pink:#b0318c", f"{DARK};--teal:#58c5d6;--pink:#f08bd0"
"""Ten curves in one picture ask for two colors more than pages have."""
STYLE = (
    f":root{{color-scheme:light;{_LIGHT}}}\n"
    f"@media (prefers-color-scheme:dark){{:root{{color-scheme:dark;{_DARK}}}}}\n"
    f"html[data-theme=light]{{color-scheme:light;{_LIGHT}}}html[data-theme=dark]{{color-scheme:dark;{_DARK}}}\n"
    """
*{box-sizing:border-box}
html{scrollbar-gutter:stable}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 Inter,system-ui,-apple-system,"Segoe UI",
Roboto,"Helvetica Neue",sans-serif;font-variant-numeric:tabular-nums;-webkit-text-size-adjust:100%}
a{color:var(--accent);text-decoration:none}a:hover,p a,dd a,figcaption .soft a{text-decoration:underline}p a,dd a{text-underline-offset:2px}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px;border-radius:6px}
code,pre,.mono{font-family:ui-monospace,"SF Mono","DejaVu Sans Mono",Menlo,Consolas,monospace;font-size:.87em}
h1{font-size:24px;line-height:1.25;margin:0;letter-spacing:-.015em;font-weight:650}
h2{font-size:16px;line-height:1.35;margin:0 0 10px;font-weight:620;letter-spacing:-.005em}
h3{font-size:14px;line-height:1.35;letter-spacing:0;margin:0 0 6px;font-weight:620}p{margin:0 0 10px;max-width:75ch}
.soft{color:var(--soft)}.small{font-size:13px}.nowrap{white-space:nowrap}
.skip{position:absolute;left:-999px}.skip:focus{left:12px;top:12px;z-index:99;background:var(--card);padding:8px 14px}

.frame{display:grid;grid-template-columns:212px minmax(0,1fr);min-height:100vh;width:100%}
.side{border-right:1px solid var(--line);padding:18px 12px;position:sticky;top:0;height:100vh;display:flex;
flex-direction:column;gap:2px;background:var(--card);overflow-y:auto}
.brand{display:flex;align-items:center;gap:9px;font-weight:680;font-size:18px;letter-spacing:-.02em;
padding:0 8px 16px;color:var(--ink)}.brand:hover{text-decoration:none}.logo{width:28px;height:28px;flex:none}
.side nav{display:flex;flex-direction:column;gap:2px}
.side nav a{display:flex;align-items:center;gap:10px;padding:8px 10px;border-radius:9px;color:var(--soft);
font-weight:530}.side nav a:hover{background:var(--hover);color:var(--ink);text-decoration:none}
.side nav a[aria-current]{background:var(--accentsoft);color:var(--accent)}
.side nav svg{width:18px;height:18px;flex:none;stroke:currentColor;fill:none;stroke-width:1.7;
stroke-linecap:round;stroke-linejoin:round}
.foot{margin-top:auto;padding:12px 8px 0;font-size:13px;color:var(--soft);display:flex;flex-direction:column;gap:8px}
.foot form{margin:0}.foot button{background:none;border:0;color:var(--soft);font:inherit;padding:4px 0;cursor:pointer;
text-align:left}.foot button:hover{color:var(--ink)}
.page{padding:26px 32px 80px;max-width:1240px;width:100%;margin:0 auto;min-width:0}
.top{display:flex;flex-wrap:wrap;gap:10px 16px;align-items:flex-start;justify-content:space-between;margin-bottom:20px}
.top .what{min-width:0}.top p{margin:3px 0 0;color:var(--soft)}.crumb{font-size:13px;margin-bottom:3px}
section{margin:0 0 26px}.stack>*+*{margin-top:14px}

.card{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:18px 20px}
.grid{display:grid;gap:14px;grid-template-columns:repeat(auto-fit,minmax(min(100%,320px),1fr));align-items:start}
.grid>*{min-width:0}.two{grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr))}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px}
.tile{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:14px 16px;min-height:98px;color:var(--ink);
display:block}a.tile:hover{border-color:var(--accent);text-decoration:none}
.tile span{display:block;color:var(--soft);font-size:13px}.tile b{display:block;font-size:24px;line-height:1.3;
font-weight:650;letter-spacing:-.02em;overflow-wrap:anywhere}.tile.bad b{color:var(--bad)}.tile.good b{color:var(--good)}
.tile.warn b{color:var(--warn)}.tile.unknown b{color:var(--unknown)}
.todo{list-style:none;margin:0;padding:0}.todo li{display:flex;gap:12px;align-items:flex-start;padding:12px 0;
border-top:1px solid var(--line)}.todo li:first-child{border-top:0;padding-top:2px}.todo li:last-child{padding-bottom:2px}
.todo p{margin:0}.todo b{font-weight:620}
.dot{width:10px;height:10px;border-radius:50%;flex:none;margin-top:6px;background:var(--soft)}
.dot.good{background:var(--good)}.dot.bad{background:var(--bad)}.dot.warn{background:var(--warn)}.dot.unknown{background:var(--unknown)}
.chip{display:inline-flex;align-items:center;gap:5px;border-radius:99px;padding:1px 10px;font-size:13px;font-weight:580;
white-space:nowrap;background:var(--hover);color:var(--soft)}
.chip.good{background:var(--goodsoft);color:var(--good)}.chip.bad{background:var(--badsoft);color:var(--bad)}
.chip.warn{background:var(--warnsoft);color:var(--warn)}.chip.unknown{background:var(--unknownsoft);color:var(--unknown)}.chip.accent{background:var(--accentsoft);color:var(--accent)}
.wide{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:14px}
table{border-collapse:collapse;width:100%;font-size:14px}
th{font-weight:580;font-size:13px;color:var(--soft);text-align:left;white-space:nowrap}
th,td{padding:9px 14px;border-bottom:1px solid var(--line);vertical-align:middle}
tbody tr:last-child td{border-bottom:0}tbody tr:hover{background:var(--hover)}
td>span.soft.small{display:block;min-width:210px}td time,td>a{white-space:nowrap}
td.n,th.n{text-align:right;white-space:nowrap}td.why{color:var(--soft);font-size:13px;min-width:200px}
tr.mark{background:var(--accentsoft)}
.facts{display:grid;grid-template-columns:auto minmax(0,1fr);gap:5px 18px;margin:0;font-size:14px}
.facts dt{color:var(--soft)}.facts dd{margin:0;overflow-wrap:anywhere}
.empty{border:1px dashed var(--line);border-radius:14px;padding:34px 24px;text-align:center;color:var(--soft)}
.empty b{display:block;color:var(--ink);font-size:16px;margin-bottom:4px}.empty p{margin:0 auto 6px}
.problem{background:var(--badsoft);color:var(--bad);border-radius:10px;padding:12px 16px;max-width:none;margin:0 0 14px;
overflow-wrap:anywhere}.note{background:var(--warnsoft);color:var(--warn);border-radius:10px;padding:10px 14px;max-width:none}
.skeleton{border-radius:14px;min-height:120px;background:linear-gradient(90deg,var(--card),var(--hover),var(--card));
background-size:200% 100%;animation:sweep 1.4s linear infinite}@keyframes sweep{to{background-position:-200% 0}}
.button,.q-btn.button{display:inline-flex;align-items:center;justify-content:center;gap:7px;border:1px solid var(--line);
background:var(--card);color:var(--ink);border-radius:9px;padding:7px 14px;font:inherit;font-weight:560;font-size:14px;
cursor:pointer;min-height:38px;text-transform:none;line-height:1.3;text-decoration:none;letter-spacing:0}
.button:hover{background:var(--hover);text-decoration:none}.button.primary,.q-btn.button.primary{background:var(--accent);
color:var(--on);border-color:transparent}.button.primary:hover{filter:brightness(1.07)}
.button.danger,.q-btn.button.danger{color:var(--bad);border-color:var(--bad)}
.button[disabled]{opacity:.5;cursor:not-allowed}.actions{display:flex;gap:8px;flex-wrap:wrap}
.tabs{display:flex;gap:4px;flex-wrap:wrap;margin-bottom:14px}.tabs a{padding:6px 12px;border-radius:9px;color:var(--soft);
font-size:14px;font-weight:550}.tabs a:hover{background:var(--hover);text-decoration:none}
.tabs a[aria-current]{background:var(--accentsoft);color:var(--accent)}
.pager{display:flex;gap:10px;align-items:center;justify-content:flex-end;margin-top:12px;font-size:14px;color:var(--soft)}
pre.log{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:14px 16px;margin:0;overflow:auto;
max-height:420px;font-size:12.5px;line-height:1.5;white-space:pre-wrap;overflow-wrap:anywhere}
pre.log{display:flex;flex-direction:column-reverse}
svg text{fill:var(--ink);font:12px Inter,system-ui,sans-serif}svg .tick{fill:var(--soft);font-size:11px}
svg .name{font-size:13px}svg .count{font-size:12px}svg .count.strong{fill:var(--on)}
.whisker{width:160px;height:20px;display:block}.rail{stroke:var(--line)}.mark{stroke:var(--ink);stroke-width:1.6;
stroke-dasharray:3 2}.span{stroke-width:4;stroke-linecap:round;opacity:.45}.span.good{stroke:var(--good)}
.span.bad{stroke:var(--bad)}circle.dot.good{fill:var(--good)}circle.dot.bad{fill:var(--bad)}
.confusion,.diagram,.curve{width:100%;height:auto;display:block}.confusion{max-width:520px}.curve{max-width:640px}.curve.wider{max-width:none}.diagram{max-width:340px}
.own{fill:var(--accent)}.other{fill:var(--warm)}svg .grid{stroke:var(--line)}.ideal{stroke:var(--soft);stroke-dasharray:5 4}
.error{stroke:var(--accent);opacity:.5}.before{fill:none;stroke:var(--warm);stroke-width:1.8}.after{fill:var(--accent)}
.line{fill:none;stroke-width:2;stroke-linejoin:round}
.k0{--k:var(--accent)}.k1{--k:var(--warm);stroke-dasharray:5 4}.k2{--k:var(--good)}.k3{--k:var(--bad);stroke-dasharray:2 3}
.k4{--k:var(--unknown)}.k5{--k:var(--warn);stroke-dasharray:8 3}.k6{--k:var(--teal)}.k7{--k:var(--pink);stroke-dasharray:5 4}
.k8{--k:var(--soft)}.k9{--k:var(--ink);stroke-dasharray:2 3}.curve .line,.curve circle{stroke:var(--k)}.curve circle{fill:var(--k)}
.curve circle{stroke-dasharray:none}.curve circle:hover{stroke-width:5}.curve circle.hidden{opacity:0}.curve circle.hidden:hover{opacity:1}
.values{margin-top:6px;font-size:13px}.values .button{margin:8px 0}.values .wide{max-height:300px;overflow:auto}
.legend{font-size:13px;color:var(--soft);display:flex;gap:16px;flex-wrap:wrap;margin-top:6px}
.legend i{display:inline-block;width:18px;height:3px;border-radius:2px;background:var(--k);vertical-align:middle;
margin-right:6px}
.dag{width:100%;overflow-x:auto}.dag svg{display:block;margin:0 auto;max-width:none}
.dag .edge{fill:none;stroke:var(--line);stroke-width:1.8}.dag .edge.gate{stroke-dasharray:5 4}
.dag .box{fill:var(--raised);stroke:var(--line);stroke-width:1.3}.dag a:hover .box,.dag a:focus .box{stroke:var(--accent)}
.dag a{outline-offset:-3px}.dag .box.succeeded{stroke:var(--good);fill:var(--goodsoft)}
.dag .box.failed,.dag .box.refused{stroke:var(--bad);fill:var(--badsoft)}
.dag .box.running{stroke:var(--accent);fill:var(--accentsoft)}.dag .box.picked{stroke-width:2.6}
.dag .label{font-weight:600;font-size:12.5px}.dag .sub{fill:var(--soft);font-size:11px}
.dag .waiting .label{fill:var(--soft)}
.bar{display:block;height:8px;border-radius:9px;background:var(--hover);overflow:hidden;min-width:60px}
.bar i{display:block;height:100%;background:var(--accent);border-radius:9px}.bar i.warm{background:var(--warm)}
.split{display:flex;height:12px;border-radius:9px;overflow:hidden;background:var(--hover);gap:2px}
.split i{display:block;background:var(--accent)}.split i+i{background:var(--warm)}
svg.bar{background:none;height:18px;width:160px;overflow:visible;border-radius:0}svg.bar .rail{fill:var(--line)}
svg.bar .calm{fill:var(--good)}svg.bar .bad{fill:var(--bad)}svg.bar .mark{stroke:var(--ink);stroke-dasharray:3 2}
.judged .cards{display:grid;gap:12px;grid-template-columns:repeat(auto-fill,minmax(min(100%,320px),1fr))}
.judged .card{padding:12px 14px}.judged .top{margin-bottom:4px;align-items:center;flex-wrap:nowrap}.judged h3{margin:0}
.judged svg{width:100%;height:auto;display:block}.judged svg text{fill:var(--soft);font-size:11px}.judged p{font-size:13px;margin:4px 0 0}
.judged .axis,.judged .step{stroke:var(--line)}.judged .step{stroke-dasharray:2 3}.judged .band{fill:var(--accent);opacity:.22}
.judged .value{stroke:var(--accent);stroke-width:2;fill:none}.judged .margin{stroke:var(--bad);stroke-dasharray:5 4}
.judged .forbidden{fill:var(--bad);opacity:.1}.judged circle.good{fill:var(--good)}.judged circle.bad{fill:var(--bad)}
.judged circle.unknown{fill:var(--warn)}
.shots{display:grid;grid-template-columns:repeat(auto-fill,minmax(118px,1fr));gap:12px}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:12px;padding:8px;overflow:hidden}
figure .pair{display:grid;grid-template-columns:1fr 1fr;gap:6px}
figure img{width:100%;aspect-ratio:1;object-fit:contain;image-rendering:pixelated;border-radius:7px;background:#7f7f7f18;
display:block}figure img.full{image-rendering:auto;max-height:70vh;aspect-ratio:auto;min-height:180px}figcaption{font-size:12.5px;line-height:1.4;margin-top:7px;overflow-wrap:anywhere}
.answer{display:grid;grid-template-columns:minmax(70px,max-content) 1fr auto;gap:9px 14px;align-items:center;font-size:15px}
.answer .bar{height:12px}.answer .first{font-weight:650}
.field{display:block;margin-bottom:14px}.field label,.login label{display:block;font-size:13px;font-weight:580;margin-bottom:4px}
input[type=password]:not(.q-field__native),select:not(.q-field__native){width:100%;font:inherit;color:var(--ink);
background:var(--card);border:1px solid var(--line);border-radius:9px;padding:8px 11px;min-height:40px}
.asked{display:flex;flex-wrap:wrap;gap:8px 12px;align-items:center;margin-bottom:14px}.asked .picker{flex-basis:100%}
.search{flex:1 1 220px;max-width:460px;font:inherit;color:var(--ink);background:var(--card);border:1px solid var(--line);
border-radius:9px;padding:7px 11px;min-height:38px}.columns{display:grid;gap:10px 18px;margin-top:10px;
grid-template-columns:repeat(auto-fill,minmax(min(100%,220px),1fr));align-items:start}
fieldset{border:1px solid var(--line);border-radius:10px;padding:6px 12px 10px;margin:0;min-width:0}legend{font-size:13px;color:var(--soft)}
fieldset label{display:block;font-size:13.5px;padding:3px 0;overflow-wrap:anywhere}.chosen{margin-top:10px;align-items:center}
.login{min-height:100vh;display:grid;place-items:center;padding:20px}.login form{width:min(100%,400px);padding:30px}
.login h1{margin-bottom:6px}.login .brand{padding:0 0 18px}.login input{margin-bottom:14px}
.login .button{width:100%}
.steps{display:flex;gap:6px;align-items:center;flex-wrap:wrap}
details summary{cursor:pointer;color:var(--accent);font-weight:550}

.nicegui-content{padding:0;gap:0;display:block;width:100%}.q-layout,.q-page-container,.q-page{min-height:0}
.q-field__native,.q-field__label,.q-field__input{color:var(--ink)}.q-field--outlined .q-field__control{border-radius:9px}
.q-field__bottom{color:var(--soft)}.q-card{background:var(--raised);color:var(--ink);border-radius:14px;box-shadow:var(--shadow)}
.q-menu{background:var(--raised);color:var(--ink)}.q-expansion-item__container{color:var(--ink)}
.q-uploader{width:100%;background:var(--card);color:var(--ink);border:1px dashed var(--line);border-radius:14px;box-shadow:none;
max-height:none}.dialog{padding:24px;width:min(92vw,480px);display:block}.dialog h2{font-size:18px}
.drop{border:2px dashed var(--line);border-radius:14px;background:var(--card);padding:34px 20px;text-align:center;
display:block;cursor:pointer;color:var(--soft)}.drop:hover,.drop.over,.drop:focus-within{border-color:var(--accent);background:var(--accentsoft)}
.drop b{display:block;color:var(--ink);font-size:16px}.drop input{position:absolute;opacity:0;width:1px;height:1px}
@media (max-width:760px){.frame{grid-template-columns:minmax(0,1fr);grid-template-rows:auto 1fr}
.side{position:sticky;top:0;z-index:5;height:auto;flex-direction:row;align-items:center;border-right:0;gap:8px;
border-bottom:1px solid var(--line);padding:8px 12px;overflow-x:auto}.side .brand{padding:0 4px 0 0}.side .brand span{display:none}
.side nav{flex-direction:row}.side nav a{padding:7px 10px;white-space:nowrap}.side nav svg{display:none}
.foot{margin:0 0 0 auto;padding:0;flex-direction:row}.foot .who{display:none}.page{padding:18px 14px 60px}
.card{padding:14px}h1{font-size:21px}th,td{padding:8px 10px}.tiles{grid-template-columns:repeat(2,minmax(0,1fr))}
.tile b{font-size:20px}.optional{display:none}}
@media (prefers-reduced-motion:reduce){*{animation:none!important;transition:none!important}}
"""
)
