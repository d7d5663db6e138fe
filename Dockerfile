# The course with its data: for sweeps on a cluster, and for JupyterLab on a machine without Python. docs/batch.md
FROM python:3.12-slim

RUN apt-get update && apt-get install -y --no-install-recommends git make && rm -rf /var/lib/apt/lists/*
WORKDIR /course
COPY . .
RUN pip install --no-cache-dir -c constraints.txt -e . && course data

EXPOSE 8888
CMD ["jupyter", "lab", "--ip=0.0.0.0", "--allow-root", "--no-browser", "notebooks/00_start_here.ipynb"]
