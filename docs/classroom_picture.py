"""Makes ``classroom.png``: the classroom's page in Chromium, with some sliders moved.

    python docs/classroom_picture.py

Needs ``pip install 'hybridkp[browser]'`` and Chromium; trains the small models where they are not kept yet.
"""

import shutil
import threading
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from hybridkp import classroom

HERE = Path(__file__).parent
MOVED = {"rotation": 26, "occlusion": 16, "blur": 1}

models = classroom.small_models(classroom.cache_folder(), lambda *said: print(*said))
with classroom.serve(classroom.Classroom(models, classroom.problem())) as server, sync_playwright() as play:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
    page = browser.new_page(viewport={"width": 1180, "height": 830})
    page.goto(server.url)
    for name, value in MOVED.items():
        page.fill(f"#knob-{name}", str(value))
    page.wait_for_timeout(2000)
    page.wait_for_selector("body[data-busy=no]")
    page.evaluate("document.activeElement.blur(), document.querySelector('.bench').scrollIntoView()")
    page.screenshot(path=HERE / "classroom.png")
    browser.close()
    server.shutdown()
with Image.open(HERE / "classroom.png") as shown:
    small = shown.convert("RGB").resize(
        (shown.width * 3 // 4, shown.height * 3 // 4), Image.Resampling.LANCZOS
    )
small.quantize(256, Image.Quantize.FASTOCTREE, kmeans=3).save(HERE / "classroom.png", optimize=True)
